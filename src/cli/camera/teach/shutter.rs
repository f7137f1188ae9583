//! Pictures of what a region shows, as the camera delivers it, taken from the loop when they are due.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::control::Capturing;
use crate::error::Result;
use crate::frame::RgbImage;
use crate::output::{Delivery, Sink};
use crate::prediction::FrameReport;

/// What pictures are to be taken.
#[derive(Debug, Default)]
pub(super) struct Shutter {
    /// Whether there is a plan: all that the loop looks at for each frame.
    armed: AtomicBool,
    plan: Mutex<Option<Plan>>,
}

#[derive(Debug)]
struct Plan {
    class: String,
    left: u32,
    interval: Duration,
    /// When the next picture is due.
    next: Instant,
}

/// A picture, and the class that it was taken for.
pub(super) type Taken = (String, RgbImage);

impl Shutter {
    fn lock(&self) -> MutexGuard<'_, Option<Plan>> {
        // It is replaced as a whole.
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes `pictures` for `class` from now on, in the place of what was planned before. Where the same class goes on, so does its rhythm:
    /// whoever holds a button asks again and again.
    pub(super) fn take(&self, class: &str, pictures: u32, interval: Duration) {
        let mut plan = self.lock();
        let due = plan.as_ref().filter(|plan| plan.class == class && plan.interval == interval).map(|plan| plan.next);
        let next = due.unwrap_or_else(Instant::now);
        *plan = Some(Plan { class: class.into(), left: pictures, interval, next });
        self.armed.store(true, Ordering::Relaxed);
    }

    pub(super) fn stop(&self) {
        *self.lock() = None;
        self.armed.store(false, Ordering::Relaxed);
    }

    pub(super) fn capturing(&self) -> Option<Capturing> {
        let capturing = |plan: &Plan| Capturing {
            class: plan.class.clone(),
            left: plan.left,
            interval: plan.interval.as_secs_f64(),
        };
        self.lock().as_ref().map(capturing)
    }

    fn is_due(&self) -> bool {
        self.armed.load(Ordering::Relaxed) && self.lock().as_ref().is_some_and(|plan| plan.next <= Instant::now())
    }
}

/// What the loop shows its pictures to.
pub(super) struct Viewer {
    pub(super) shutter: Arc<Shutter>,
    pub(super) region: Arc<str>,
    pub(super) pictures: SyncSender<Taken>,
}

impl Sink for Viewer {
    fn wants_picture(&self) -> bool {
        self.shutter.is_due()
    }

    fn wants_overlay(&self) -> bool {
        false
    }

    fn deliver(&mut self, report: &FrameReport, picture: Option<&RgbImage>) -> Result<Delivery> {
        let region = report.regions.iter().find(|region| region.name == self.region);
        // Of a picture of which a part is missing nothing is learned.
        let (Some(picture), Some(region), false) = (picture, region, report.partial) else {
            return Ok(Delivery::Continue);
        };
        let mut plan = self.shutter.lock();
        let now = Instant::now();
        let Some(due) = plan.as_mut().filter(|plan| plan.next <= now && plan.left > 0) else {
            return Ok(Delivery::Continue);
        };
        // While those before are still being written, the next frame is as good as this one.
        match self.pictures.try_send((due.class.clone(), picture.cropped(region.area))) {
            Ok(()) => {
                due.left -= 1;
                due.next = (due.next + due.interval).max(now);
            }
            Err(TrySendError::Full(_)) => {}
            Err(TrySendError::Disconnected(_)) => due.left = 0,
        }
        if due.left == 0 {
            *plan = None;
            self.shutter.armed.store(false, Ordering::Relaxed);
        }
        Ok(Delivery::Continue)
    }

    fn finish(&mut self) -> Result<()> {
        self.shutter.stop();
        Ok(())
    }

    fn describe(&self) -> String {
        "pictures to teach with".into()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::time::SystemTime;

    use super::*;
    use crate::frame::Area;
    use crate::prediction::{RegionReport, StageTimes};

    /// Of a picture of 4 x 2 pixels, whose right half is the region `gate`.
    fn report(partial: bool) -> FrameReport {
        let region = |name: &str, left| RegionReport {
            name: name.into(),
            area: Area { left, top: 0, width: 2, height: 2 },
            model: "net".into(),
            model_hash: "0".into(),
            predictions: Vec::new(),
            unknown: None,
            state: None,
            heat: None,
        };
        FrameReport {
            camera: None,
            sequence: 0,
            timestamp: SystemTime::now(),
            monotonic: Duration::ZERO,
            origin: None,
            regions: vec![region("wall", 0), region("gate", 2)],
            events: Vec::new(),
            stages: StageTimes::default(),
            latency: Duration::ZERO,
            fps: 0.0,
            dropped: 0,
            skipped: 0,
            damaged: 0,
            lost: 0,
            partial,
            throttled: None,
        }
    }

    #[test]
    fn pictures_are_of_the_region_and_as_many_as_were_asked_for() {
        let (pictures, taken) = sync_channel(1);
        let shutter = Arc::new(Shutter::default());
        let mut viewer = Viewer { shutter: shutter.clone(), region: "gate".into(), pictures };
        let image = RgbImage::new(4, 2, (0..24).collect());
        let mut show = |partial| {
            let _ = viewer.deliver(&report(partial), Some(&image)).unwrap();
        };
        show(false);
        assert!(taken.try_recv().is_err(), "nobody asked");
        shutter.take("open", 2, Duration::ZERO);
        show(true);
        assert!(taken.try_recv().is_err(), "a damaged picture");
        show(false);
        // There is no room: the picture is taken of a later frame.
        show(false);
        let (class, picture) = taken.try_recv().unwrap();
        assert_eq!((class.as_str(), picture.pixels), ("open", vec![6, 7, 8, 9, 10, 11, 18, 19, 20, 21, 22, 23]));
        assert_eq!(shutter.capturing().unwrap().left, 1);
        show(false);
        show(false);
        assert!(taken.try_recv().is_ok() && taken.try_recv().is_err() && shutter.capturing().is_none());
    }

    #[test]
    fn pictures_keep_their_distance_also_when_they_are_asked_for_again() {
        let (pictures, taken) = sync_channel(8);
        let shutter = Arc::new(Shutter::default());
        let mut viewer = Viewer { shutter: shutter.clone(), region: "gate".into(), pictures };
        let image = RgbImage::filled(4, 2, [0; 3]);
        let hour = Duration::from_secs(3600);
        for _ in 0..3 {
            shutter.take("open", 9, hour);
            let _ = viewer.deliver(&report(false), Some(&image)).unwrap();
        }
        assert!(taken.try_recv().is_ok() && taken.try_recv().is_err());
        assert!(!viewer.wants_picture() && shutter.capturing().unwrap().left == 9);
        shutter.take("shut", 9, hour);
        assert!(viewer.wants_picture(), "another class begins at once");
        shutter.stop();
        assert!(!viewer.wants_picture());
    }
}
