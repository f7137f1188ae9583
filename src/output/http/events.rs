//! States that changed lately, with a small picture each: for clients as they happen (server-sent events), and for those that come later.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use axum::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use super::super::encode::Encoding;
use super::super::record;
use super::limits::Limits;
use crate::frame::RgbImage;
use crate::picture::resize::{Filter, Part, Resizer};
use crate::prediction::Event;
use crate::text;

/// How many are kept.
const MOST: usize = 200;
/// Width of their pictures.
const WIDTH: u32 = 240;
/// Pictures that may wait to be scaled and encoded; an event goes without rather than have more of them in memory.
const MOST_WAITING: usize = 4;

/// The newest events.
#[derive(Debug)]
pub(super) struct Events {
    kept: Mutex<VecDeque<Kept>>,
    /// The number of the newest.
    newest: watch::Sender<u64>,
    /// The number before the first one.
    begin: u64,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    limits: Limits,
}

#[derive(Debug)]
struct Kept {
    number: u64,
    record: String,
    picture: Option<Bytes>,
}

impl Events {
    /// None yet. They will be numbered from the time on: numbers of another run are others.
    pub(super) fn new(limits: Limits) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let begin = u64::try_from(since.as_millis()).unwrap_or(0);
        let (kept, newest) = (Mutex::default(), watch::Sender::new(begin));
        let places = Arc::new(Semaphore::new(limits.followers));
        Self { kept, newest, begin, places, waiting: AtomicUsize::new(0), limits }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        // Every state of the list is a valid one.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds events; their numbers.
    pub(super) fn add(&self, events: &[Event]) -> Vec<u64> {
        let mut numbers = Vec::new();
        let mut kept = self.kept();
        for event in events {
            let number = kept.back().map_or(self.begin, |newest| newest.number) + 1;
            let record = text::json(&record::event(event)).unwrap_or_default();
            kept.push_back(Kept { number, record, picture: None });
            numbers.push(number);
        }
        let surplus = kept.len().saturating_sub(MOST);
        kept.drain(..surplus);
        drop(kept);
        if let Some(newest) = numbers.last() {
            self.newest.send_replace(*newest);
        }
        numbers
    }

    /// Whether there is room for a picture that [`illustrate`](Self::illustrate) will be given.
    pub(super) fn may_illustrate(&self) -> bool {
        let room = |waiting: usize| (waiting < MOST_WAITING).then_some(waiting + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok()
    }

    /// Gives events their picture, scaled. Takes milliseconds.
    pub(super) fn illustrate(&self, numbers: &[u64], image: &RgbImage, encoding: Encoding) {
        let jpeg = small(image).and_then(|image| encoding.encode(&image).ok()).map(Bytes::from);
        for kept in self.kept().iter_mut().filter(|kept| numbers.contains(&kept.number)) {
            kept.picture.clone_from(&jpeg);
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// The picture of an event, if it is kept and has one.
    pub(super) fn picture(&self, number: u64) -> Option<Bytes> {
        self.kept().iter().find(|kept| kept.number == number)?.picture.clone()
    }

    /// Room for a client, for as long as it is kept.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// Events behind number `after`; of 0, and of another run's, all that are kept.
    pub(super) fn follow(&self, after: u64) -> Followed {
        let is_ours = (self.begin..=*self.newest.borrow()).contains(&after);
        Followed { newest: self.newest.subscribe(), after: if is_ours { after } else { 0 } }
    }

    /// What is sent of those behind `after`, and the number of the last of them.
    fn since(&self, after: u64) -> Option<(String, u64)> {
        let kept = self.kept();
        let (first, last) = (kept.front()?.number, kept.back()?.number);
        let mut sent = String::new();
        if after != 0 && first > after + 1 {
            sent += &format!("event: lost\ndata: {}\n\n", first - after - 1);
        }
        for Kept { number, record, .. } in kept.iter().filter(|kept| kept.number > after) {
            sent += &format!("id: {number}\nevent: change\ndata: {record}\n\n");
        }
        (!sent.is_empty()).then_some((sent, last))
    }
}

/// A client that follows the events.
#[derive(Debug)]
pub(super) struct Followed {
    newest: watch::Receiver<u64>,
    /// The number of the last one that it was sent.
    after: u64,
}

impl Followed {
    /// What is to be sent next; waits for it.
    pub(super) async fn next(&mut self, events: &Events) -> Bytes {
        loop {
            self.newest.borrow_and_update();
            if let Some((sent, last)) = events.since(self.after) {
                self.after = last;
                return sent.into();
            }
            if timeout(events.limits.alive, self.newest.changed()).await.is_err() {
                return Bytes::from_static(b": alive\n\n");
            }
        }
    }
}

/// The picture at [`WIDTH`], unless it is smaller.
fn small(image: &RgbImage) -> Option<RgbImage> {
    if image.width <= WIDTH {
        return Some(image.clone());
    }
    let height = (u64::from(image.height) * u64::from(WIDTH) / u64::from(image.width)).max(1);
    let mut scaled = RgbImage::filled(WIDTH, u32::try_from(height).ok()?, [0; 3]);
    let size = (scaled.width, scaled.height);
    Resizer::default().resize(Part::whole(image), Filter::Bilinear, size, &mut scaled.pixels).ok()?;
    Some(scaled)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn events() -> Events {
        Events::new(Limits { alive: Duration::from_millis(20), ..Limits::default() })
    }

    fn event(label: &str) -> Event {
        Event {
            time: SystemTime::UNIX_EPOCH,
            region: "gate".into(),
            label: Some(label.into()),
            active: true,
            score: 0.5,
        }
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    fn text(bytes: &Bytes) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn clients_get_what_is_kept_and_what_comes() {
        let events = events();
        let [first, second] = events.add(&[event("open"), event("a\nb")])[..] else { panic!("two numbers") };
        assert_eq!(second, first + 1);
        run(async {
            let mut all = events.follow(0);
            let sent = text(&all.next(&events).await);
            assert!(sent.starts_with(&format!("id: {first}\nevent: change\ndata: {{")), "{sent}");
            assert_eq!(sent.matches("\n\n").count(), 2, "a line break in a label ends no event: {sent}");
            assert_eq!(text(&all.next(&events).await), ": alive\n\n");
            let mut later = events.follow(second);
            events.add(&[event("shut")]);
            for client in [&mut all, &mut later] {
                let sent = text(&client.next(&events).await);
                assert!(sent.contains("shut") && sent.matches("id: ").count() == 1, "{sent}");
            }
            let mut of_another_run = events.follow(first - 1000);
            assert_eq!(text(&of_another_run.next(&events).await).matches("id: ").count(), 3);
        });
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_lost_is_told() {
        let events = events();
        let first = events.add(&[event("x")])[0];
        let mut client = events.follow(first);
        for _ in 0..3 {
            events.add(&vec![event("y"); MOST]);
        }
        assert_eq!(events.kept().len(), MOST);
        let sent = text(&run(client.next(&events)));
        assert!(sent.starts_with(&format!("event: lost\ndata: {}\n\n", 2 * MOST)), "{}", &sent[..60]);
        assert_eq!(sent.matches("id: ").count(), MOST);
    }

    #[test]
    fn pictures_are_small_and_few_wait() {
        let events = events();
        let numbers = events.add(&[event("open")]);
        assert!(events.picture(numbers[0]).is_none());
        assert!((0..MOST_WAITING).all(|_| events.may_illustrate()) && !events.may_illustrate());
        events.illustrate(&numbers, &RgbImage::filled(1920, 1080, [9; 3]), Encoding::Jpeg(80));
        let picture = image::load_from_memory(&events.picture(numbers[0]).unwrap()).unwrap();
        assert_eq!((picture.width(), picture.height()), (WIDTH, 135));
        assert!(events.may_illustrate());
        events.illustrate(&numbers, &RgbImage::filled(10, 20, [9; 3]), Encoding::Jpeg(80));
        assert_eq!(image::load_from_memory(&events.picture(numbers[0]).unwrap()).unwrap().height(), 20);
    }
}
