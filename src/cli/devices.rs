//! `densight devices`: the cameras and what they deliver.

use std::fmt::Write;
use std::process::ExitCode;

use crate::camera::v4l2::{ControlInfo, DeviceInfo, FormatInfo, list_devices};
use crate::text;

/// List the cameras, their formats and sizes
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// A system without Video4Linux.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let devices = list_devices()?;
    if args.json {
        super::print(&(text::json(&devices)? + "\n"))?;
    } else {
        super::print(&listed(&devices))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn listed(devices: &[DeviceInfo]) -> String {
    let mut text = String::new();
    for device in devices {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", headline(device));
        for link in &device.links {
            let _ = writeln!(text, "  also {}", text::line(link));
        }
        for format in &device.formats {
            let _ = writeln!(text, "  {}", describe(format));
            for size in &format.sizes {
                let rates: Vec<String> = size.rates.iter().map(|rate| format!("{rate:.4}")).collect();
                let rates: Vec<&str> = rates.iter().map(|r| r.trim_end_matches('0').trim_end_matches('.')).collect();
                let fps = if rates.is_empty() { String::new() } else { format!("  {} fps", rates.join(", ")) };
                let _ = writeln!(text, "    {}x{}{fps}", size.width, size.height);
            }
        }
        if let Some(usual) = &device.usual {
            let _ = writeln!(text, "  taken if nothing is asked for: {usual} (more where the network needs it)");
        }
        for control in &device.controls {
            let _ = writeln!(text, "  {}", describe_control(control));
        }
    }
    if devices.is_empty() {
        text.push_str("no camera found; `densight-camera test://pattern` needs none\n");
    }
    if devices.len() > 1
        && let Some(link) = devices.iter().flat_map(|device| &device.links).find(|link| link.contains("/by-id/"))
    {
        let link = text::line(link);
        let _ = writeln!(text, "Numbers may change, names do not: `densight-camera {link}`");
    }
    text
}

/// A camera in one line, with what is wrong with it.
pub(super) fn headline(device: &DeviceInfo) -> String {
    let mut line = text::line(&device.path);
    for detail in [&device.name, &device.driver, &device.bus] {
        if !detail.is_empty() {
            let _ = write!(line, "  {}", text::name(detail));
        }
    }
    if let Some(problem) = &device.problem {
        let _ = write!(line, "  ({})", text::line(problem));
    }
    line
}

fn describe_control(control: &ControlInfo) -> String {
    let ControlInfo { minimum, maximum, default, .. } = control;
    let value = control.value.map_or(String::new(), |value| format!(", now {value}"));
    format!("--control {}={minimum} to {maximum}{value} (default {default})", text::name(&control.name))
}

fn describe(format: &FormatInfo) -> String {
    let mut line = format!("{} {}", text::name(&format.fourcc), text::name(&format.description));
    if let Some(range) = format.range {
        let _ = write!(line, ", any size from {}x{}", range.min_width, range.min_height);
        let _ = write!(line, " to {}x{}", range.max_width, range.max_height);
    }
    if !format.supported {
        line.push_str(" (not supported)");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::v4l2::{SizeInfo, SizeRange};

    #[test]
    fn cameras_are_listed_with_what_they_deliver() {
        let size = |width, height, rates: &[f64]| SizeInfo { width, height, rates: rates.into() };
        let format = |fourcc: &str, supported, sizes, range| FormatInfo {
            fourcc: fourcc.into(),
            description: "some encoding".into(),
            supported,
            sizes,
            range,
        };
        let range =
            SizeRange { min_width: 2, max_width: 800, step_width: 2, min_height: 1, max_height: 600, step_height: 1 };
        let camera = DeviceInfo {
            path: "/dev/video0".into(),
            name: "A Camera".into(),
            driver: "uvcvideo".into(),
            bus: "usb-1".into(),
            links: vec!["/dev/v4l/by-id/a".into()],
            formats: vec![
                format("YUYV", true, vec![size(640, 480, &[30.0, 29.97, 7.5]), size(320, 240, &[])], None),
                format("H264", false, vec![], Some(range)),
            ],
            usual: Some("YUYV 320x240".into()),
            controls: vec![ControlInfo {
                name: "brightness".into(),
                minimum: -5,
                maximum: 9,
                step: 1,
                default: 0,
                value: Some(3),
            }],
            problem: None,
        };
        let none = String::new;
        let closed = DeviceInfo {
            path: "/dev/video2".into(),
            name: none(),
            driver: none(),
            bus: none(),
            links: vec![],
            formats: vec![],
            usual: None,
            controls: vec![],
            problem: Some("permission denied: join the group video".into()),
        };
        let expected = "\
/dev/video0  A Camera  uvcvideo  usb-1
  also /dev/v4l/by-id/a
  YUYV some encoding
    640x480  30, 29.97, 7.5 fps
    320x240
  H264 some encoding, any size from 2x1 to 800x600 (not supported)
  taken if nothing is asked for: YUYV 320x240 (more where the network needs it)
  --control brightness=-5 to 9, now 3 (default 0)
/dev/video2  (permission denied: join the group video)
Numbers may change, names do not: `densight-camera /dev/v4l/by-id/a`
";
        assert_eq!(listed(&[camera, closed]), expected);
        assert!(listed(&[]).starts_with("no camera found"));
    }
}
