//! Sources that another program delivers: `exec:COMMAND`, and what is built on it: `csi://`, `rtsp://`, video files, and cameras that
//! encode videos.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::PoisonError;

use super::child::{Program, Told};
use super::live::{Live, Recorded};
use super::mjpeg::Mjpeg;
use super::reconnect::Reconnecting;
use super::stream::Stream;
use super::video::{Layout, Video};
use super::{Source, SourceOptions, refuse_camera_wishes};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::PixelFormat;
use crate::picture;

/// What the program writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writes {
    Mjpeg,
    Video(Layout),
}

/// A program to run, and what is known of it.
#[derive(Debug, Clone)]
struct Job {
    program: String,
    arguments: Vec<String>,
    writes: Writes,
    /// For messages.
    name: String,
    /// What must not be in them.
    secret: Option<String>,
    told: Told,
}

/// `exec:[format=FORMAT] [size=WxH] COMMAND`: what a shell's command writes, Motion JPEG unless another format is named.
///
/// # Errors
/// [`ErrorKind::Usage`] for a format without size, or none that is read; [`ErrorKind::Camera`] without a shell.
pub(super) fn exec(text: &str, options: &SourceOptions) -> Result<Box<dyn Source>> {
    refuse_camera_wishes(options, "exec:")?;
    live(parse_exec(text)?, options)
}

/// A camera of the Raspberry Pi or of a Jetson, by its number.
///
/// # Errors
/// [`ErrorKind::Camera`] where neither board's program is installed.
pub(super) fn csi(number: u32, options: &SourceOptions) -> Result<Box<dyn Source>> {
    if options.codec.is_some() || !options.controls.is_empty() {
        let message = "csi:// has a format of its own: ask for a width, height or rate only";
        return Err(Error::new(ErrorKind::Usage, message));
    }
    live(csi_job(number, options, &find_program)?, options)
}

/// A stream that ffmpeg opens: `rtsp://` and the like.
///
/// # Errors
/// [`ErrorKind::Camera`] if ffmpeg is not installed.
pub(super) fn ffmpeg(url: &str, options: &SourceOptions) -> Result<Box<dyn Source>> {
    let live_options = SourceOptions { width: None, height: None, ..options.clone() };
    refuse_camera_wishes(&live_options, "a stream")?;
    let job = ffmpeg_job(url, options, &find_program)?;
    // It says in three lines what can be said in one.
    job.told.lock().unwrap_or_else(PoisonError::into_inner).is_kept = true;
    live(job, options)
}

/// A Video4Linux camera that delivers nothing but an encoded video: `encoding` is its name for people and ffmpeg's.
///
/// # Errors
/// [`ErrorKind::Camera`] if ffmpeg is not installed.
#[cfg(target_os = "linux")]
pub(super) fn encoded_camera(path: &Path, encoding: [&str; 2], options: &SourceOptions) -> Result<Box<dyn Source>> {
    let job = camera_job(path, encoding, options, &find_program)?;
    job.told.lock().unwrap_or_else(PoisonError::into_inner).is_kept = true;
    let (stream, mut program) = start(&job)?;
    let why = Box::new(move || program.status());
    Ok(Box::new(Live::new(stream, options.timeout, ErrorKind::Camera, why)))
}

/// A video file, played from its beginning to its end.
///
/// # Errors
/// [`ErrorKind::Camera`] if ffmpeg is not installed.
pub(super) fn video_file(path: &Path, options: &SourceOptions) -> Result<Box<dyn Source>> {
    let file_options = SourceOptions { width: None, height: None, ..options.clone() };
    refuse_camera_wishes(&file_options, "a video file")?;
    // Else a name that begins with a dash would be an option.
    let path = if path.is_absolute() { path.display().to_string() } else { format!("./{}", path.display()) };
    let (stream, program) = start(&ffmpeg_job(&path, options, &find_program)?)?;
    Ok(Box::new(Recorded::new(stream, Some(program))))
}

fn live(job: Job, options: &SourceOptions) -> Result<Box<dyn Source>> {
    let (timeout, reconnect) = (options.timeout, options.reconnect);
    let open = move || -> Result<Box<dyn Source>> {
        let (stream, mut program) = start(&job)?;
        let kind = if reconnect { ErrorKind::Camera } else { ErrorKind::Ended };
        Ok(Box::new(Live::new(stream, timeout, kind, Box::new(move || program.status()))))
    };
    if reconnect { Ok(Box::new(Reconnecting::new(false, Box::new(open))?)) } else { open() }
}

fn start(job: &Job) -> Result<(Box<dyn Stream>, Program)> {
    let mut command = Command::new(&job.program);
    command.args(&job.arguments);
    let (program, file) = Program::start(command, &job.name, job.secret.clone(), job.told.clone())?;
    let stream: Box<dyn Stream> = match job.writes {
        Writes::Mjpeg => Box::new(Mjpeg::new(job.name.clone(), file)),
        Writes::Video(layout) => Box::new(Video::new(job.name.clone(), file, layout)),
    };
    Ok((stream, program))
}

fn parse_exec(text: &str) -> Result<Job> {
    let usage = |message: String| Error::new(ErrorKind::Usage, message);
    let (mut rest, mut format, mut size) = (text.trim_start(), PixelFormat::Jpeg, None);
    let mut is_y4m = false;
    while let Some((word, behind)) = rest.split_once(' ') {
        match word.split_once('=') {
            Some(("format", "y4m")) => is_y4m = true,
            Some(("format", name)) => format = name.parse()?,
            Some(("size", wanted)) => {
                let sides = wanted.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
                let sides = sides.filter(|&(w, h)| w > 0 && h > 0 && picture::may_decode(w, h));
                let wrong = || usage(format!("size={wanted} is no size of a picture: write size=640x480"));
                size = Some(sides.ok_or_else(wrong)?);
            }
            _ => break,
        }
        rest = behind.trim_start();
    }
    let writes = match (format, size) {
        _ if is_y4m => Writes::Video(Layout::Y4m),
        (PixelFormat::Jpeg, _) => Writes::Mjpeg,
        (format, Some((width, height))) => Writes::Video(Layout::Raw(format, width, height)),
        (format, None) => {
            return Err(usage(format!("exec: {} needs a size: exec:format=... size=640x480 COMMAND", format.name())));
        }
    };
    if rest.is_empty() {
        return Err(usage(
            "exec: names no command: write exec:COMMAND, or exec:format=yuv420p size=WxH COMMAND".into(),
        ));
    }
    let name = format!("exec:{}", rest.split(' ').next().unwrap_or_default());
    let arguments = vec!["-c".into(), rest.to_owned()];
    Ok(Job { program: "sh".into(), arguments, writes, name, secret: None, told: Told::default() })
}

/// Finds a program by its name.
type Find<'a> = &'a dyn Fn(&str) -> Option<PathBuf>;

fn csi_job(number: u32, options: &SourceOptions, find: Find) -> Result<Job> {
    // Rows of the Raspberry Pi's pictures are padded to 64 bytes: with such widths there is nothing to pad.
    let width = options.width.unwrap_or(640).clamp(64, 8192).next_multiple_of(64);
    let height = options.height.unwrap_or(480).clamp(64, 8192).next_multiple_of(2);
    let (name, writes) = (format!("csi://{number}"), Writes::Video(Layout::Raw(PixelFormat::I420, width, height)));
    let job = |program: PathBuf, arguments: String| Job {
        program: program.display().to_string(),
        arguments: arguments.split(' ').map(str::to_owned).collect(),
        writes,
        name: name.clone(),
        secret: None,
        told: Told::default(),
    };
    let rate = options.rate.map_or(String::new(), |rate| format!(" --framerate {rate}"));
    if let Some(program) = find("rpicam-vid").or_else(|| find("libcamera-vid")) {
        let arguments =
            format!("--camera {number} -n -t 0 --codec yuv420 --width {width} --height {height}{rate} --flush -o -");
        return Ok(job(program, arguments));
    }
    if let (Some(program), Some(_)) = (find("gst-launch-1.0"), find("nvargus-daemon")) {
        let rate = options.rate.unwrap_or(30);
        let captured = format!("video/x-raw(memory:NVMM),width={width},height={height},framerate={rate}/1");
        let arguments = format!(
            "-q nvarguscamerasrc sensor-id={number} ! {captured} ! nvvidconv ! video/x-raw,format=I420 ! fdsink"
        );
        return Ok(job(program, arguments));
    }
    let message = "csi:// needs rpicam-vid (package rpicam-apps), libcamera-vid (libcamera-apps) or, on a Jetson, \
                   gst-launch-1.0 (gstreamer1.0-tools): none of them is installed";
    Err(Error::new(ErrorKind::Camera, message))
}

fn ffmpeg_job(url: &str, options: &SourceOptions, find: Find) -> Result<Job> {
    let (name, secret) = without_secrets(url);
    // Over UDP lost packets are damaged pictures.
    let transport: &[&str] = if url.starts_with("rtsp") { &["-rtsp_transport", "tcp"] } else { &[] };
    let job = decoded(name, &[transport, &["-i", url]].concat(), options, find)?;
    Ok(Job { secret, ..job })
}

#[cfg(target_os = "linux")]
fn camera_job(path: &Path, [name, format]: [&str; 2], options: &SourceOptions, find: Find) -> Result<Job> {
    let (camera, path) = (format!("v4l2://{} {name}", path.display()), path.display().to_string());
    let rate = options.rate.map(|rate| rate.to_string());
    let mut input = vec!["-f", "v4l2", "-input_format", format];
    input.extend(rate.iter().flat_map(|rate| ["-framerate", rate]));
    input.extend(["-i", &path]);
    let job = decoded(camera, &input, options, find)?;
    Ok(Job { name: format!("{}, decoded by ffmpeg", job.name), ..job })
}

/// What ffmpeg decodes of `input`.
fn decoded(name: String, input: &[&str], options: &SourceOptions, find: Find) -> Result<Job> {
    let program = find("ffmpeg").ok_or_else(|| {
        let message = format!("{name} needs ffmpeg, which is not installed: sudo apt install ffmpeg");
        Error::new(ErrorKind::Camera, message)
    })?;
    let mut arguments = vec!["-nostdin", "-hide_banner", "-loglevel", "error"];
    if Path::new("/dev/dri/renderD128").exists() {
        arguments.extend(["-hwaccel", "auto"]);
    }
    arguments.extend(input);
    arguments.extend(["-an", "-pix_fmt", "yuv420p"]);
    let side = |side: Option<u32>| side.map_or("-2".into(), |side| side.to_string());
    let scale = format!("scale={}:{}", side(options.width), side(options.height));
    if options.width.or(options.height).is_some() {
        arguments.extend(["-vf", &scale]);
    }
    arguments.extend(["-f", "yuv4mpegpipe", "-"]);
    let arguments = arguments.into_iter().map(str::to_owned).collect();
    let (program, writes) = (program.display().to_string(), Writes::Video(Layout::Y4m));
    Ok(Job { program, arguments, writes, name, secret: None, told: Told::default() })
}

/// A URL for messages: without user, password and query; and the user and password.
fn without_secrets(url: &str) -> (String, Option<String>) {
    let Some((scheme, rest)) = url.split_once("://") else { return (url.to_owned(), None) };
    let rest = rest.split('?').next().unwrap_or_default();
    let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match place.rsplit_once('@') {
        Some((login, host)) => (format!("{scheme}://{host}{path}"), Some(login.to_owned())),
        None => (format!("{scheme}://{place}{path}"), None),
    }
}

fn find_program(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).chain(["/usr/sbin".into()]).map(|folder| folder.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_command_says_what_it_writes() {
        let job = parse_exec("format=yuv420p size=64x48 cam --raw | tee x").unwrap();
        assert_eq!(job.writes, Writes::Video(Layout::Raw(PixelFormat::I420, 64, 48)));
        assert_eq!((job.arguments[1].as_str(), job.name.as_str()), ("cam --raw | tee x", "exec:cam"));
        assert_eq!(parse_exec("cam size=9").unwrap().writes, Writes::Mjpeg, "what is the command's own");
        assert_eq!(parse_exec("format=y4m cam").unwrap().writes, Writes::Video(Layout::Y4m));
        for wrong in [
            "",
            "format=rgb24 cam",
            "format=h264 cam",
            "size=big cam",
            "size=0x5 cam",
            "size=4000000000x4000000000 cam",
            "format=rgb24 size=4x4 ",
        ] {
            assert_eq!(parse_exec(wrong).unwrap_err().kind(), ErrorKind::Usage, "{wrong}");
        }
    }

    #[test]
    fn boards_have_their_own_programs() {
        let only = |known: &'static [&str]| move |name: &str| known.contains(&name).then(|| PathBuf::from(name));
        let options = SourceOptions { width: Some(650), rate: Some(10), ..SourceOptions::default() };
        let job = csi_job(1, &options, &only(&["rpicam-vid", "libcamera-vid"])).unwrap();
        let expected = "--camera 1 -n -t 0 --codec yuv420 --width 704 --height 480 --framerate 10 --flush -o -";
        assert_eq!((job.program.as_str(), job.arguments.join(" ").as_str()), ("rpicam-vid", expected));
        assert_eq!(job.writes, Writes::Video(Layout::Raw(PixelFormat::I420, 704, 480)));
        assert_eq!(csi_job(0, &options, &only(&["libcamera-vid"])).unwrap().program, "libcamera-vid");
        assert!(csi_job(0, &options, &only(&["gst-launch-1.0", "nvargus-daemon"])).unwrap().arguments.len() > 8);
        let error = csi_job(0, &options, &only(&["gst-launch-1.0"])).unwrap_err();
        assert!(error.kind() == ErrorKind::Camera && error.to_string().contains("rpicam-apps"), "{error}");
        let error = ffmpeg_job("rtsp://me:pw@cam/x?y", &options, &only(&[])).unwrap_err();
        assert_eq!(error.to_string(), "rtsp://cam/x needs ffmpeg, which is not installed: sudo apt install ffmpeg");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn cameras_that_encode_videos_are_decoded() {
        let options = SourceOptions { width: Some(320), rate: Some(5), ..SourceOptions::default() };
        let path = Path::new("/dev/video7");
        let job = camera_job(path, ["H.264", "h264"], &options, &|_| Some("ffmpeg".into())).unwrap();
        let arguments = job.arguments.join(" ");
        assert!(arguments.contains(" -f v4l2 -input_format h264 -framerate 5 -i /dev/video7 -an "), "{arguments}");
        assert!(arguments.contains(" -vf scale=320:-2 "), "{arguments}");
        assert_eq!(job.name, "v4l2:///dev/video7 H.264, decoded by ffmpeg");
        let error = camera_job(path, ["H.264", "h264"], &options, &|_| None).unwrap_err().to_string();
        assert_eq!(error, "v4l2:///dev/video7 H.264 needs ffmpeg, which is not installed: sudo apt install ffmpeg");
    }

    #[test]
    fn names_have_no_secrets() {
        let of = |url: &str| without_secrets(url);
        assert_eq!(of("rtsp://me:p@ss@cam:554/a?b=c"), ("rtsp://cam:554/a".into(), Some("me:p@ss".into())));
        assert_eq!(of("rtsp://cam"), ("rtsp://cam".into(), None));
        assert_eq!(of("./a?b.mp4"), ("./a?b.mp4".into(), None));
    }

    fn next(source: &mut dyn Source) -> String {
        match source.next_frame() {
            Ok(frame) => frame.map_or("end".into(), |frame| format!("{} {}", frame.sequence, frame.data.len())),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_program_that_ends_is_started_again() {
        let options = SourceOptions { timeout: Duration::from_secs(20), ..SourceOptions::default() };
        let mut source = exec("format=rgb24 size=2x2 printf 0123456789ab; sleep 0.1; exit 7", &options).unwrap();
        assert_eq!(next(&mut *source), "0 12");
        assert!(next(&mut *source).contains("exec:printf ended with exit status: 7 (waiting for it)"));
        assert!(next(&mut *source).contains(" is back after "));
        assert!(next(&mut *source).ends_with(" 12"));
        let once = SourceOptions { reconnect: false, ..options };
        let mut source = exec("true", &once).unwrap();
        assert_eq!(source.next_frame().unwrap_err().kind(), ErrorKind::Ended);
    }
}
