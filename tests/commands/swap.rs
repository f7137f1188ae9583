//! Other models and settings while `densight-camera` runs.

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use super::*;

/// A camera that runs until it is told to end.
struct Running {
    child: Child,
    folder: tempfile::TempDir,
    said: Receiver<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const ENDLESS: &str =
    "input = 'test://pattern'\noutputs = ['json://records']\nno-pace = true\ninput-width = 160\ninput-height = 120\n";

/// Settings of an endless run, with these besides.
fn with(settings: &str) -> String {
    format!("{ENDLESS}{settings}[swap]\nframes = 2\nslower = 100\nwait = 60\n")
}

impl Running {
    /// Starts it with these settings besides.
    fn start(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let int8 = model().with_file_name("cifar10_densenet_bc_L40_k12_int8.onnx");
        let bytes = std::fs::read(model()).unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        write("f32.onnx", &bytes);
        write("int8.onnx", &std::fs::read(int8).unwrap());
        write("cut.onnx", &bytes[..bytes.len() / 2]);
        write("junk.onnx", &[0x42; 5000]);
        write("c.toml", with(settings).as_bytes());
        let mut child = Command::new(env!("CARGO_BIN_EXE_densight-camera"))
            .args(["--config", "c.toml"])
            .current_dir(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, said) = channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let running = Self { child, folder, said };
        while running.records().len() < 2 {
            std::thread::sleep(Duration::from_millis(10));
        }
        running
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// What is said of these settings once they have been read.
    fn change(&self, settings: &str) -> String {
        std::fs::write(self.folder.path().join("c.toml"), with(settings)).unwrap();
        self.reload()
    }

    fn reload(&self) -> String {
        self.signal("-HUP");
        self.line(|line| {
            line.contains("settings: changed") || line.contains("settings: refused") || line.contains("taken back")
        })
    }

    /// The next such line.
    fn line(&self, is_it: impl Fn(&str) -> bool) -> String {
        loop {
            let line = self.said.recv_timeout(Duration::from_secs(60)).expect("nothing was said");
            if is_it(&line) {
                return line;
            }
        }
    }

    /// The whole records so far.
    fn records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("records")).unwrap_or_default();
        text.split_inclusive('\n').filter(|l| l.ends_with('\n')).map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    /// Kibibytes of memory, where that can be told.
    fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse().ok())
    }

    /// Ends it; all records, of frames without a gap.
    fn end(mut self) -> Vec<Value> {
        self.signal("-INT");
        assert_eq!(self.child.wait().unwrap().code(), Some(130));
        let records = self.records();
        for (number, record) in records.iter().enumerate() {
            assert_eq!(
                (&record["sequence"], &record["dropped"], &record["lost"]),
                (&number.into(), &0.into(), &0.into())
            );
        }
        records
    }
}

/// What follows what, each once.
fn in_turn<'a>(records: &'a [Value], member: &str) -> Vec<&'a Value> {
    let mut values: Vec<&Value> = records.iter().map(|record| &record[member]).collect();
    values.dedup();
    values
}

#[test]
fn models_are_exchanged_without_losing_a_frame_and_bad_ones_are_named() {
    let running = Running::start("model = 'f32.onnx'\n");
    let (mut swapped, mut begun) = (0, None);
    for round in 0..24 {
        let name = ["int8.onnx", "cut.onnx", "f32.onnx", "junk.onnx", "none.onnx"][round % 5];
        let said = running.change(&format!("model = '{name}'\n"));
        match name {
            "int8.onnx" | "f32.onnx" => {
                swapped += 1;
                assert!(said.starts_with("settings: changed; frame: ") && said.contains(" of 2 frames, "), "{said}");
            }
            _ => assert!(said.starts_with("warning: settings: refused: ") && said.contains(name), "{said}"),
        }
        begun = begun.or_else(|| running.memory().filter(|_| round == 8));
    }
    let grown = running.memory().zip(begun).map_or(0, |(last, first)| last.saturating_sub(first));
    assert!(grown < 16 << 10, "{grown} KiB");
    let records = running.end();
    assert_eq!(in_turn(&records, "model_hash").len(), swapped + 1, "each took the place of the other");
}

#[test]
fn settings_are_read_again_as_far_as_they_can_change() {
    let running = Running::start("topk = 1\nunknown-threshold = 1.0\n[state]\nenter = 0.01\nleave = 0.0\nhold = 0.0\n");
    let said = running
        .change("topk = 2\nname = 'front'\nunknown-threshold = 1.0\n[state]\nenter = 0.02\nleave = 0.0\nhold = 0.0\n");
    assert!(said.starts_with("settings: changed"), "{said}");
    let regions = "topk = 2\n[[region]]\nname = 'left'\nrect = '0%,0%,50%,100%'\n";
    assert!(running.change(regions).contains("settings: changed; left: "));
    for (wrong, reason) in [
        ("topk = 0\n", "topk is 0: it must be 1 to 4000000"),
        ("topq = 1\n", "c.toml line 6: unknown field `topq`"),
        ("[[region]]\nname = 'far'\nrect = '100,0,100,10'\n", "region far: 100,0,100,10 is not inside of the picture"),
        ("[[command]]\nrun = ['true']\n[state]\nenter = 0.1\nleave = 0.2\n", "state: leave is 0.2"),
    ] {
        let said = running.change(wrong);
        assert!(said.starts_with("warning: settings: refused: ") && said.contains(reason), "{said}");
    }
    std::fs::remove_file(running.folder.path().join("c.toml")).unwrap();
    assert!(running.reload().contains("cannot read c.toml"));
    let records = running.end();
    let shown =
        |record: &Value| (record["regions"][0]["name"].clone(), record["predictions"].as_array().unwrap().len());
    let mut shown: Vec<_> = records.iter().map(shown).collect();
    shown.dedup();
    assert_eq!(shown, [("frame".into(), 1), ("frame".into(), 2), ("left".into(), 2)]);
    assert!(records.iter().all(|record| record["camera"].is_null()));
    let held: Vec<&Value> = records.iter().flat_map(|record| record["events"].as_array().unwrap()).collect();
    let ended = held.last().unwrap();
    assert!(ended["region"] == "frame" && ended["label"].is_null(), "the state of a region that is gone ends: {ended}");
}

#[test]
fn what_cannot_change_is_named() {
    let running = Running::start("");
    std::fs::write(
        running.folder.path().join("c.toml"),
        with("name = 'front'\n").replace("no-pace = true", "no-pace = false").replace("'json://records'", "'null://'"),
    )
    .unwrap();
    running.signal("-HUP");
    let said = running.line(|line| line.starts_with("warning: settings: "));
    assert_eq!(
        said,
        "warning: settings: name, no-pace, outputs changed in the file: that takes effect when the program is started again"
    );
    assert!(running.line(|line| line.contains("settings: ")).starts_with("settings: changed"));
    running.end();
}

#[test]
fn without_a_settings_file_a_hangup_ends_it() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_densight-camera"))
        .args(["test://pattern", "json://-", "-q"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert!(Command::new("kill").args(["-HUP", &child.id().to_string()]).status().unwrap().success());
    std::io::copy(&mut output, &mut std::io::sink()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// A terminal, in which the program runs: what SIGHUP alone, and then the end of the terminal, come to.
const TERMINAL: &str = "
import os, pty, signal, sys, time
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], '--config', 'c.toml', '-q'])
records = lambda: os.path.getsize('records') if os.path.exists('records') else 0
def wait(until):
    begin = time.time()
    while not until():
        assert time.time() - begin < 60
        time.sleep(0.01)
wait(lambda: records() > 1000)
os.kill(pid, signal.SIGHUP)
before = records()
wait(lambda: records() > before + 10000)
os.close(terminal)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";

#[test]
fn a_program_whose_terminal_is_gone_ends() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("c.toml"), with("")).unwrap();
    let camera = env!("CARGO_BIN_EXE_densight-camera");
    let Ok(output) = Command::new("python3").args(["-c", TERMINAL, camera]).current_dir(folder.path()).output() else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: a terminal, as there is no Python");
        return;
    };
    assert_eq!(stdout(&output), "130\n", "{}", stderr(&output));
}
