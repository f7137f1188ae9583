//! What a layer reads, as one tensor: picked channels, concatenations, affines.

use super::super::super::fused::Read;
use super::super::nodes::{float, int};
use super::{Writer, WrittenSegment};
use crate::quant::Affine;

impl Writer<'_> {
    /// All that is read as one tensor, after its affines.
    pub(super) fn gathered(&mut self, name: &str, reads: &[Read]) -> String {
        let alike = |a: &Affine, b: &Affine| (a.low, a.high, &a.function) == (b.low, b.high, &b.function);
        let first = &reads[0].prologue;
        let same = reads.iter().all(|read| {
            read.prologue.len() == first.len() && read.prologue.iter().zip(first).all(|(a, b)| alike(a, b))
        });
        let mut parts = Vec::new();
        for (index, read) in reads.iter().enumerate() {
            let WrittenSegment { mut tensor, gain } = self.segments[read.segment].clone();
            // What the segment is a multiple of is taken up by the first affine.
            let mut affines = read.prologue.clone();
            if gain != 1.0 {
                match affines.first_mut() {
                    Some(affine) => affine.mul.iter_mut().for_each(|mul| *mul *= gain),
                    None => affines.push(Affine::factor(gain, self.network.shape(read.segment).channels)),
                }
            }
            if !read.channels.is_empty() {
                tensor = self.selected(&format!("{name}.part{index}"), &tensor, &read.channels);
                affines.iter_mut().for_each(|affine| *affine = selected(affine, &read.channels));
            }
            parts.push((tensor, affines, index));
        }
        if same && parts.iter().all(|(_, affines, _)| affines.len() == parts[0].1.len()) {
            let tensors: Vec<&str> = parts.iter().map(|(tensor, ..)| tensor.as_str()).collect();
            let joined = match tensors.as_slice() {
                [one] => (*one).to_owned(),
                many => self.add("Concat", &format!("{name}.concat"), many, vec![int("axis", 1)]),
            };
            let affines = (0..parts[0].1.len()).map(|at| Affine {
                mul: parts.iter().flat_map(|(_, affines, _)| affines[at].mul.clone()).collect(),
                add: parts.iter().flat_map(|(_, affines, _)| affines[at].add.clone()).collect(),
                ..parts[0].1[at].clone()
            });
            let affines: Vec<Affine> = affines.collect();
            return self.stepped(name, joined, &affines);
        }
        let done: Vec<String> = parts
            .into_iter()
            .map(|(tensor, affines, index)| self.stepped(&format!("{name}.part{index}"), tensor, &affines))
            .collect();
        let tensors: Vec<&str> = done.iter().map(String::as_str).collect();
        match tensors.as_slice() {
            [one] => (*one).to_owned(),
            many => self.add("Concat", &format!("{name}.concat"), many, vec![int("axis", 1)]),
        }
    }

    /// A tensor after affines: norms and bounds.
    pub(super) fn stepped(&mut self, name: &str, mut x: String, affines: &[Affine]) -> String {
        for (number, affine) in affines.iter().enumerate() {
            let name = format!("{name}.norm{number}");
            let nothing =
                affine.mul.iter().all(|mul| (mul - 1.0).abs() < 1e-6) && affine.add.iter().all(|&add| add == 0.0);
            if !nothing {
                let channels = affine.channels();
                let parameters = [
                    self.list(&format!("{name}.weight"), affine.mul.clone()),
                    self.list(&format!("{name}.bias"), affine.add.clone()),
                    self.list(&format!("{name}.mean"), vec![0.0; channels]),
                    self.list(&format!("{name}.var"), vec![1.0; channels]),
                ];
                let inputs: Vec<&str> = [&*x].into_iter().chain(parameters.iter().map(String::as_str)).collect();
                x = self.add("BatchNormalization", &name, &inputs, vec![float("epsilon", 0.0)]);
            }
            x = self.function(&name, x, &affine.function);
            x = match (affine.low, affine.high) {
                (f32::NEG_INFINITY, f32::INFINITY) => x,
                (0.0, f32::INFINITY) => self.add("Relu", &format!("{name}.relu"), &[&x], vec![]),
                (low, high) => {
                    let low = self.number(&format!("{name}.low"), low);
                    let high = self.number(&format!("{name}.high"), high);
                    self.add("Clip", &format!("{name}.clip"), &[&x, &low, &high], vec![])
                }
            };
        }
        x
    }
}

/// An affine of some channels.
fn selected(affine: &Affine, channels: &[usize]) -> Affine {
    let of = |numbers: &[f32]| channels.iter().map(|&channel| numbers[channel]).collect();
    Affine { mul: of(&affine.mul), add: of(&affine.add), ..affine.clone() }
}
