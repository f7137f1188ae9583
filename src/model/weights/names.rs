//! Other names that checkpoints have for the same tensors.

/// The reference implementation's name for `name`, or `None` for a tensor that inference does not need.
///
/// Understood are torchvision's names (`norm5` for `norm_final`; in its first checkpoints `norm.1` for `norm1`), the
/// `module.` that `DataParallel` puts in front, and the step counters of norms.
pub(super) fn reference(name: &str) -> Option<String> {
    let name = name.strip_prefix("module.").unwrap_or(name);
    if name.ends_with(".num_batches_tracked") {
        return None;
    }
    let mut parts: Vec<String> = Vec::new();
    for part in name.split('.') {
        match (parts.last_mut(), part) {
            (Some(last), "1" | "2") if last == "norm" || last == "conv" => last.push_str(part),
            _ => parts.push(part.into()),
        }
    }
    if let [features, norm, _] = parts.as_mut_slice()
        && features == "features"
        && norm == "norm5"
    {
        *norm = "norm_final".into();
    }
    Some(parts.join("."))
}

#[cfg(test)]
mod tests {
    use super::reference;

    #[test]
    fn torchvision_names_become_the_reference_ones() {
        let cases = [
            ("features.norm5.weight", Some("features.norm_final.weight")),
            ("module.features.conv0.weight", Some("features.conv0.weight")),
            (
                "features.denseblock1.denselayer2.norm.1.running_mean",
                Some("features.denseblock1.denselayer2.norm1.running_mean"),
            ),
            ("features.denseblock1.denselayer2.conv.2.weight", Some("features.denseblock1.denselayer2.conv2.weight")),
            ("features.denseblock5.denselayer2.norm1.weight", Some("features.denseblock5.denselayer2.norm1.weight")),
            ("features.transition1.norm.weight", Some("features.transition1.norm.weight")),
            ("features.norm0.num_batches_tracked", None),
            ("classifier.bias", Some("classifier.bias")),
        ];
        for (theirs, ours) in cases {
            assert_eq!(reference(theirs).as_deref(), ours, "{theirs}");
        }
    }
}
