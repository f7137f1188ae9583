//! How a network's output becomes the scores of its classes: decided once, when a session is opened.

use crate::model::Scores;
use crate::model::onnx::Ending;
use crate::prediction::Activation;

/// What scores are, and how the output becomes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) scores: Scores,
    pub(super) activation: Activation,
}

impl Head {
    /// What was asked for, of a graph that ends so and has so many classes. Without, it is what the graph ends in: a softmax, a sigmoid of
    /// each class, or numbers without bounds, which are the logits of a softmax, or of a sigmoid where there is only one.
    pub(super) fn of(asked: Option<Scores>, ending: Ending, classes: usize) -> Self {
        let found = match ending {
            Ending::Softmax | Ending::LogSoftmax => Scores::Softmax,
            Ending::Sigmoid => Scores::Sigmoid,
            Ending::Logits if classes == 1 => Scores::Sigmoid,
            Ending::Logits => Scores::Softmax,
        };
        let scores = asked.unwrap_or(found);
        let activation = match (scores, ending) {
            (Scores::None, _) | (Scores::Softmax, Ending::Softmax) | (Scores::Sigmoid, Ending::Sigmoid) => {
                Activation::Identity
            }
            (Scores::Softmax, Ending::LogSoftmax) => Activation::Exponential,
            (Scores::Softmax, _) => Activation::Softmax,
            (Scores::Sigmoid, _) => Activation::Sigmoid,
        };
        Self { scores, activation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_done_twice() {
        let done = |asked, ending, classes| {
            let head = Head::of(asked, ending, classes);
            (head.scores, head.activation)
        };
        assert_eq!(done(None, Ending::Logits, 10), (Scores::Softmax, Activation::Softmax));
        assert_eq!(done(None, Ending::Logits, 1), (Scores::Sigmoid, Activation::Sigmoid));
        assert_eq!(done(None, Ending::Softmax, 10), (Scores::Softmax, Activation::Identity));
        assert_eq!(done(None, Ending::LogSoftmax, 10), (Scores::Softmax, Activation::Exponential));
        assert_eq!(done(None, Ending::Sigmoid, 18), (Scores::Sigmoid, Activation::Identity));
        assert_eq!(done(Some(Scores::Sigmoid), Ending::Sigmoid, 18).1, Activation::Identity);
        assert_eq!(done(Some(Scores::Sigmoid), Ending::Logits, 18).1, Activation::Sigmoid);
        assert_eq!(done(Some(Scores::Softmax), Ending::LogSoftmax, 18).1, Activation::Exponential);
        for ending in [Ending::Logits, Ending::Softmax, Ending::LogSoftmax, Ending::Sigmoid] {
            assert_eq!(done(Some(Scores::None), ending, 18), (Scores::None, Activation::Identity));
        }
    }
}
