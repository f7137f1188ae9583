//! The newest result, handed from the camera loop to any number of clients.
//!
//! The loop replaces it and never waits for a client; a client waits for the next one and skips what it was too slow
//! for. A picture is encoded when the first client needs it, in a thread beside the server's, once for all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::spawn_blocking;

use super::super::encode::Encoding;
use crate::frame::RgbImage;
use crate::prediction::FrameReport;

/// Between the pictures of a stream.
pub(super) const BOUNDARY: &str = "densight-frame";
/// While nobody watches, the newest picture is at most so much older than the newest result.
const KEPT_EVERY: Duration = Duration::from_millis(200);

/// The newest result and picture.
#[derive(Debug)]
pub(super) struct Feed {
    newest: watch::Sender<Option<Arc<Newest>>>,
    picture: watch::Sender<Option<Arc<Picture>>>,
    /// One for each stream that there may be.
    places: Arc<Semaphore>,
    streams: usize,
    encoding: Encoding,
}

/// The newest result.
#[derive(Debug)]
pub(super) struct Newest {
    pub(super) report: FrameReport,
    came: Instant,
}

/// A picture, encoded once somebody wants it.
#[derive(Debug)]
pub(super) struct Picture {
    image: RgbImage,
    captured: Instant,
    came: Instant,
    encoding: Encoding,
    encoded: OnceCell<Result<Encoded, String>>,
}

/// A JPEG file, by itself and as part of a stream.
#[derive(Debug, Clone)]
pub(super) struct Encoded {
    pub(super) jpeg: Bytes,
    /// With the headers in front of it, and the boundary behind it: browsers show a picture only when they have seen
    /// its end.
    pub(super) part: Bytes,
}

impl Feed {
    /// With room for so many streams.
    pub(super) fn new(streams: usize, encoding: Encoding) -> Self {
        let (newest, picture) = (watch::Sender::new(None), watch::Sender::new(None));
        Self { newest, picture, places: Arc::new(Semaphore::new(streams)), streams, encoding }
    }

    /// Whether the next result should come with its picture.
    pub(super) fn wants_picture(&self) -> bool {
        let is_old = |kept: &Arc<Picture>| kept.came.elapsed() >= KEPT_EVERY;
        self.viewers() > 0 || self.picture.borrow().as_ref().is_none_or(is_old)
    }

    /// Streams at present.
    pub(super) fn viewers(&self) -> usize {
        self.streams - self.places.available_permits()
    }

    /// Replaces the newest report and, where there is one, the newest picture.
    pub(super) fn publish(&self, report: &FrameReport, picture: Option<&RgbImage>) {
        let came = Instant::now();
        if let Some(image) = picture {
            self.picture.send_replace(Some(Arc::new(Picture {
                image: image.clone(),
                captured: came.checked_sub(report.latency).unwrap_or(came),
                came,
                encoding: self.encoding,
                encoded: OnceCell::new(),
            })));
        }
        self.newest.send_replace(Some(Arc::new(Newest::new(report.clone(), came))));
    }

    /// The newest result.
    pub(super) fn newest(&self) -> Option<Arc<Newest>> {
        self.newest.borrow().clone()
    }

    /// Room for a stream, for as long as it is kept; `None` when there are as many as may be.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// Pictures that come from now on.
    pub(super) fn pictures_to_come(&self) -> Pictures {
        Pictures(self.picture.subscribe())
    }

    /// Pictures from the newest on, each as soon as there is one.
    pub(super) fn pictures(&self) -> Pictures {
        let mut newest = self.picture.subscribe();
        newest.mark_changed();
        Pictures(newest)
    }
}

impl Newest {
    /// A result that came at that time.
    pub(super) fn new(report: FrameReport, came: Instant) -> Self {
        Self { report, came }
    }

    /// Time since the result.
    pub(super) fn age(&self) -> Duration {
        self.came.elapsed()
    }

    /// Time since its picture was captured.
    pub(super) fn picture_age(&self) -> Duration {
        self.age() + self.report.latency
    }
}

/// Pictures as a client takes them: the newest each time.
#[derive(Debug)]
pub(super) struct Pictures(watch::Receiver<Option<Arc<Picture>>>);

impl Pictures {
    /// The newest picture that was not taken yet; waits for it. `None` when there will be no more.
    pub(super) async fn next(&mut self) -> Option<Arc<Picture>> {
        loop {
            self.0.changed().await.ok()?;
            let newest = self.0.borrow_and_update().clone();
            if newest.is_some() {
                return newest;
            }
        }
    }
}

impl Picture {
    /// Time since it was captured.
    pub(super) fn age(&self) -> Duration {
        self.captured.elapsed()
    }

    /// The picture as JPEG; whoever is first has it encoded.
    ///
    /// # Errors
    /// In words, why it cannot be encoded.
    pub(super) async fn encoded(self: &Arc<Self>) -> Result<&Encoded, &str> {
        let encode = || async {
            let picture = self.clone();
            let encoded = spawn_blocking(move || picture.encoding.encode(&picture.image)).await;
            match encoded {
                Ok(Ok(jpeg)) => Ok(Encoded::new(&jpeg)),
                Ok(Err(error)) => Err(error.to_string()),
                Err(error) => Err(format!("a picture was not encoded: {error}")),
            }
        };
        self.encoded.get_or_init(encode).await.as_ref().map_err(String::as_str)
    }
}

impl Encoded {
    fn new(jpeg: &[u8]) -> Self {
        let head = format!("Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", jpeg.len());
        let part = Bytes::from([head.as_bytes(), jpeg, format!("\r\n--{BOUNDARY}\r\n").as_bytes()].concat());
        Self { jpeg: part.slice(head.len()..head.len() + jpeg.len()), part }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::report;
    use super::*;

    /// Runs `future` as the server does.
    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn image(side: u32) -> RgbImage {
        RgbImage::filled(side, side, [9; 3])
    }

    #[test]
    fn clients_get_the_newest_picture_and_skip_the_rest() {
        let feed = Feed::new(1, Encoding::Jpeg(85));
        let mut pictures = feed.pictures();
        for side in 1..4 {
            feed.publish(&report(), Some(&image(side)));
        }
        feed.publish(&report(), None);
        assert_eq!(run(pictures.next()).unwrap().image.width, 3);
        assert_eq!(run(feed.pictures().next()).unwrap().image.width, 3, "whoever comes later begins with it");
        drop(feed);
        assert!(run(pictures.next()).is_none());
    }

    #[test]
    fn a_picture_is_encoded_once_for_all() {
        let feed = Feed::new(1, Encoding::Jpeg(85));
        feed.publish(&report(), Some(&image(8)));
        run(async {
            let picture = feed.pictures().next().await.unwrap();
            assert!(picture.encoded.get().is_none(), "nobody asked");
            let first = picture.encoded().await.unwrap();
            let second = feed.pictures().next().await.unwrap().encoded().await.unwrap().clone();
            assert_eq!(first.jpeg.as_ptr(), second.jpeg.as_ptr());
            let part = String::from_utf8_lossy(&first.part);
            assert!(part.starts_with("Content-Type: image/jpeg\r\nContent-Length: "), "{part}");
            assert!(first.part.ends_with(b"\xff\xd9\r\n--densight-frame\r\n"));
            assert_eq!(image::load_from_memory(&first.jpeg).unwrap().width(), 8);
        });
    }

    #[test]
    fn what_cannot_be_encoded_says_why() {
        let feed = Feed::new(1, Encoding::Jpeg(85));
        feed.publish(&report(), Some(&RgbImage::filled(70_000, 1, [0; 3])));
        let words =
            run(async { feed.pictures().next().await.unwrap().encoded().await.map(drop).map_err(str::to_owned) });
        assert!(words.unwrap_err().contains("70000x1"));
    }

    #[test]
    fn pictures_are_wanted_for_streams_and_now_and_then_for_the_last_one() {
        let feed = Feed::new(2, Encoding::Jpeg(85));
        assert!(feed.wants_picture(), "there is none");
        feed.publish(&report(), Some(&image(1)));
        assert!(!feed.wants_picture());
        let places: Vec<_> = (0..3).map_while(|_| feed.place()).collect();
        assert_eq!((places.len(), feed.viewers()), (2, 2));
        assert!(feed.wants_picture());
        drop(places);
        assert!(!feed.wants_picture());
        std::thread::sleep(KEPT_EVERY);
        assert!(feed.wants_picture());
    }

    #[test]
    fn a_picture_is_as_old_as_its_capture() {
        let feed = Feed::new(1, Encoding::Jpeg(85));
        let report = FrameReport { latency: Duration::from_secs(100), ..report() };
        feed.publish(&report, Some(&image(1)));
        let newest = feed.newest().unwrap();
        for age in [run(feed.pictures().next()).unwrap().age(), newest.picture_age()] {
            assert!(age >= report.latency && age < report.latency * 2, "{age:?}");
        }
        assert!(newest.age() < report.latency);
    }
}
