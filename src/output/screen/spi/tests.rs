//! A display over a controller that remembers what was written to its memory.

use std::sync::{Arc, Mutex};

use super::*;

/// A controller's memory, which is 240 pixels wide, and what was sent to it.
struct Memory {
    pixels: Vec<[u8; 2]>,
    commands: Vec<u8>,
    /// Columns and rows that are written next: first and last of each.
    window: [u16; 4],
    /// The pixel in the window that is next.
    next: usize,
    sent: usize,
    broken: bool,
}

/// What mipidsi sends, as a controller understands it: the MIPI Display Command Set.
struct Fake(Arc<Mutex<Memory>>);

impl Port for Fake {
    fn send(&mut self, is_data: bool, bytes: &[u8]) -> io::Result<()> {
        let mut memory = self.0.lock().unwrap();
        if memory.broken {
            return Err(io::Error::other("the cable was pulled"));
        }
        memory.sent += bytes.len();
        if !is_data {
            memory.commands.extend_from_slice(bytes);
            memory.next = 0;
            return Ok(());
        }
        let number = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        match memory.commands.last() {
            Some(0x2a) => (memory.window[0], memory.window[1]) = (number(0), number(2)),
            Some(0x2b) => (memory.window[2], memory.window[3]) = (number(0), number(2)),
            Some(0x2c) => {
                for pixel in bytes.as_chunks::<2>().0 {
                    let [left, right, top, _] = memory.window.map(usize::from);
                    let width = right + 1 - left;
                    let at = (top + memory.next / width) * 240 + left + memory.next % width;
                    memory.pixels[at] = *pixel;
                    memory.next += 1;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

struct NoDelay;

impl DelayNs for NoDelay {
    fn delay_ns(&mut self, _: u32) {}
}

fn display(options: &str) -> (Result<SpiDisplay>, Arc<Mutex<Memory>>) {
    let memory =
        Memory { pixels: vec![[9; 2]; 240 * 320], commands: vec![], window: [0; 4], next: 0, sent: 0, broken: false };
    let memory = Arc::new(Mutex::new(memory));
    let settings = Settings::parse(&format!("0.0?dc=25&{options}")).unwrap();
    (SpiDisplay::with(&settings, Box::new(Fake(memory.clone())), &mut NoDelay), memory)
}

#[test]
fn pictures_arrive_in_the_displays_part_of_the_memory() {
    let (display, memory) = display("display=st7789&size=20x10&offset=3,40");
    let mut display = display.unwrap();
    let commands = memory.lock().unwrap().commands.clone();
    // Reset, awake, inverted, pixels of 16 bits, on.
    assert!([0x01, 0x11, 0x21, 0x3a, 0x29].iter().all(|command| commands.contains(command)), "{commands:02x?}");
    assert_eq!(display.layout().stride, 40);
    let contents: Vec<u8> = (0..400_u32).map(|at| (at * 7 % 251) as u8).collect();
    display.show(&contents).unwrap();
    let memory = memory.lock().unwrap();
    for (y, x) in (0..320).flat_map(|y| (0..240).map(move |x| (y, x))) {
        let inside = (3..23).contains(&x) && (40..50).contains(&y);
        // The bus has the upper byte first.
        let expected = match inside {
            true => [contents[(y - 40) * 40 + 2 * (x - 3) + 1], contents[(y - 40) * 40 + 2 * (x - 3)]],
            false => [9; 2],
        };
        assert_eq!(memory.pixels[y * 240 + x], expected, "({x}, {y})");
    }
}

#[test]
fn only_what_changed_is_sent() {
    let (display, memory) = display("display=ili9341");
    let mut display = display.unwrap();
    let sent = |memory: &Arc<Mutex<Memory>>| std::mem::take(&mut memory.lock().unwrap().sent);
    let mut contents = vec![0; 240 * 320 * 2];
    display.show(&contents).unwrap();
    assert!(sent(&memory) > contents.len());
    display.show(&contents).unwrap();
    assert_eq!(sent(&memory), 0);
    // Four pixels in two rows of one band: five columns and two rows of them are sent, and where they go.
    for (x, y) in [(100, 17), (102, 17), (104, 18), (103, 18)] {
        contents[(y * 240 + x) * 2] = 200;
    }
    display.show(&contents).unwrap();
    assert_eq!(sent(&memory), 5 * 2 * 2 + 3 + 8);
    let shown = memory.lock().unwrap().pixels.iter().filter(|pixel| **pixel == [0, 200]).count();
    assert_eq!(shown, 4);
    display.release().unwrap();
    assert!(memory.lock().unwrap().pixels.iter().all(|pixel| *pixel == [0; 2]));
}

#[test]
fn what_a_controller_has_no_memory_for_is_refused() {
    for options in ["display=st7789&size=241x240", "display=st7789&size=240x240&offset=0,81", "display=st7735&size=0x9"]
    {
        let error = display(options).0.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().contains("not within what its controller has"), "{error}");
    }
}

#[test]
fn a_bus_that_fails_is_an_error() {
    let (display, memory) = display("display=gc9a01");
    let mut display = display.unwrap();
    memory.lock().unwrap().broken = true;
    let error = display.show(&vec![1; 240 * 240 * 2]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Output);
    assert_eq!(error.to_string(), "cannot show a picture on the display on spi://0.0: the cable was pulled");
}

#[test]
fn a_bus_that_is_not_there_is_told() {
    let error = SpiDisplay::open("99.9?display=st7789&dc=1").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Output);
    assert!(error.to_string().contains("/dev/spidev99.9: it does not exist: is the bus switched on"), "{error}");
}
