//! A camera's controls, by name: exposure, focus, white balance.

use std::fs::File;
use std::io;

use super::answers::{is_end, text};
use super::info::ControlInfo;
use super::sys::{self, Control, ControlDescription, Plain};
use crate::error::reason;

/// More than any driver has.
const MOST: usize = 1024;

/// What a driver says of its controls.
pub(super) trait Controls {
    /// The control behind this one, in the order of their numbers.
    fn after(&self, id: u32) -> io::Result<ControlDescription>;
    /// Its value.
    fn get(&self, id: u32) -> io::Result<i32>;
    /// Sets its value.
    fn set(&self, id: u32, value: i32) -> io::Result<()>;
}

impl Controls for File {
    fn after(&self, id: u32) -> io::Result<ControlDescription> {
        let mut entry = ControlDescription { id: id | sys::NEXT_CTRL, ..ControlDescription::zeroed() };
        sys::ioctl(self, sys::QUERYCTRL, &mut entry).map(|()| entry)
    }

    fn get(&self, id: u32) -> io::Result<i32> {
        let mut control = Control { id, value: 0 };
        sys::ioctl(self, sys::G_CTRL, &mut control).map(|()| control.value)
    }

    fn set(&self, id: u32, value: i32) -> io::Result<()> {
        sys::ioctl(self, sys::S_CTRL, &mut Control { id, value })
    }
}

/// The controls that can be set to a number, with their values.
pub(super) fn describe(device: &impl Controls) -> io::Result<Vec<ControlInfo>> {
    let info = |entry: ControlDescription| ControlInfo {
        name: name(&entry),
        minimum: entry.minimum,
        maximum: entry.maximum,
        step: entry.step,
        default: entry.default,
        value: device.get(entry.id).ok(),
    };
    Ok(list(device)?.into_iter().map(info).collect())
}

/// Sets controls in this order: one may decide whether the next can be set. The error says what is wrong with which.
pub(super) fn set(device: &impl Controls, wanted: &[(String, i32)]) -> Result<(), String> {
    if wanted.is_empty() {
        return Ok(());
    }
    let known = list(device).map_err(|error| format!("does not tell its controls: {}", reason(&error)))?;
    for (wish, value) in wanted {
        let Some(entry) = known.iter().find(|entry| name(entry) == *wish) else {
            let names: Vec<String> = known.iter().map(name).collect();
            return Err(match names.is_empty() {
                true => format!("has no control '{wish}', nor any other"),
                false => format!("has no control '{wish}'; it has {}", names.join(", ")),
            });
        };
        let (minimum, maximum) = (entry.minimum, entry.maximum);
        if !(minimum..=maximum.max(minimum)).contains(value) {
            return Err(format!("cannot set {wish} to {value}: it may be {minimum} to {maximum}"));
        }
        device.set(entry.id, *value).map_err(|error| {
            format!("does not take {wish}={value}: {} (does another control turn it off?)", reason(&error))
        })?;
    }
    Ok(())
}

fn list(device: &impl Controls) -> io::Result<Vec<ControlDescription>> {
    let (mut found, mut last) = (Vec::new(), 0);
    for _ in 0..MOST {
        let entry = match device.after(last) {
            Ok(entry) if entry.id > last => entry,
            Ok(_) => break,
            Err(error) if is_end(&error) => break,
            Err(error) => return Err(error),
        };
        last = entry.id;
        if entry.flags & (sys::DISABLED | sys::READ_ONLY) == 0 && sys::NUMBERS.contains(&entry.kind) {
            found.push(entry);
        }
    }
    Ok(found)
}

/// A control's name as `v4l2-ctl` has it: "Exposure Time, Absolute" is `exposure_time_absolute`.
fn name(entry: &ControlDescription) -> String {
    let lower = text(&entry.name).to_ascii_lowercase();
    lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Three controls, a heading, and what was set.
    #[derive(Default)]
    struct Camera(RefCell<Vec<(u32, i32)>>);

    impl Controls for Camera {
        fn after(&self, id: u32) -> io::Result<ControlDescription> {
            let entries = [
                (5, 6, "User Controls", 0),
                (7, 1, "Brightness", 0),
                (9, 3, "Auto Exposure", 0),
                (12, 1, "Exposure Time, Absolute", 0),
                (13, 1, "Temperature", sys::READ_ONLY),
                (14, 1, "Old", sys::DISABLED),
            ];
            let next = entries.into_iter().find(|entry| entry.0 > id);
            let (id, kind, label, flags) = next.ok_or(io::Error::from_raw_os_error(libc::EINVAL))?;
            let mut name = [0; 32];
            name[..label.len()].copy_from_slice(label.as_bytes());
            let (minimum, maximum, step, default) = (-10, 100, 1, 3);
            Ok(ControlDescription { id, kind, name, minimum, maximum, step, default, flags, reserved: [0; 2] })
        }

        fn get(&self, id: u32) -> io::Result<i32> {
            Ok(id as i32)
        }

        fn set(&self, id: u32, value: i32) -> io::Result<()> {
            self.0.borrow_mut().push((id, value));
            if value == 99 { Err(io::Error::from_raw_os_error(libc::EBUSY)) } else { Ok(()) }
        }
    }

    fn set_to(wanted: &[(&str, i32)]) -> Result<Vec<(u32, i32)>, String> {
        let camera = Camera::default();
        let wanted: Vec<_> = wanted.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
        set(&camera, &wanted).map(|()| camera.0.into_inner())
    }

    #[test]
    fn controls_are_listed_by_name() {
        let found = describe(&Camera::default()).unwrap();
        let names: Vec<&str> = found.iter().map(|control| control.name.as_str()).collect();
        assert_eq!(names, ["brightness", "auto_exposure", "exposure_time_absolute"]);
        assert_eq!((found[0].minimum, found[0].maximum, found[0].value), (-10, 100, Some(7)));
    }

    #[test]
    fn they_are_set_in_order_or_refused_with_what_is_right() {
        assert_eq!(set_to(&[]).unwrap(), []);
        assert_eq!(set_to(&[("auto_exposure", 1), ("exposure_time_absolute", 50)]).unwrap(), [(9, 1), (12, 50)]);
        assert_eq!(
            set_to(&[("focus", 1)]).unwrap_err(),
            "has no control 'focus'; it has brightness, auto_exposure, exposure_time_absolute"
        );
        assert_eq!(set_to(&[("brightness", 101)]).unwrap_err(), "cannot set brightness to 101: it may be -10 to 100");
        assert!(set_to(&[("brightness", 99)]).unwrap_err().starts_with("does not take brightness=99: "));
    }

    #[test]
    fn a_driver_that_repeats_itself_ends() {
        struct Same;
        impl Controls for Same {
            fn after(&self, _: u32) -> io::Result<ControlDescription> {
                Ok(ControlDescription { id: 1, kind: 1, ..ControlDescription::zeroed() })
            }
            fn get(&self, _: u32) -> io::Result<i32> {
                Ok(0)
            }
            fn set(&self, _: u32, _: i32) -> io::Result<()> {
                Ok(())
            }
        }
        assert_eq!(list(&Same).unwrap().len(), 1);
    }
}
