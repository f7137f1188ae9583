//! What is done for events, as settings name it.

use super::networks::Networks;
use super::settings::Settings;
use super::usage;
use crate::error::Result;
use crate::output::actions::{Action, EachLabel, On};
use crate::pipeline::Region;
use crate::prediction::UNCERTAIN;

/// All actions of `settings`.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for one that no event could ever start: no region has a state, or none has the
/// name or label.
pub(super) fn actions(settings: &Settings, networks: &Networks) -> Result<Vec<Action>> {
    let mut actions: Vec<Action> = settings.webhook.iter().flatten().cloned().map(Action::Webhook).collect();
    actions.extend(settings.command.iter().flatten().cloned().map(Action::Command));
    actions.extend(settings.record.iter().flatten().cloned().map(Action::Record));
    actions.extend(settings.gpio.iter().flatten().cloned().map(Action::Gpio));
    actions.extend(settings.mqtt.iter().cloned().map(Action::Mqtt));
    check_all(&actions, networks)?;
    let folders: Vec<_> = settings.record.iter().flatten().map(|record| &record.folder).collect();
    match folders.iter().enumerate().find(|(index, folder)| folders[..*index].contains(folder)) {
        Some((_, folder)) => {
            Err(usage(format!("record: two share the folder {}: give each its own", folder.display())))
        }
        None => Ok(actions),
    }
}

/// Whether the actions that were started with `before` can go on with `after`.
///
/// # Errors
/// [`ErrorKind::Usage`] for one that no event could start any more, and for regions and labels that a broker was told of.
pub(super) fn check_goes_on(settings: &Settings, before: &Networks, after: &Networks) -> Result<()> {
    check_all(&actions(settings, before)?, after)?;
    let told = |networks: &Networks| {
        let followed = networks.regions.iter().filter(|region| region.rules.is_some());
        (followed.map(|region| region.name.clone()).collect::<Vec<_>>(), each_labels(networks))
    };
    if settings.mqtt.is_some() && told(before) != told(after) {
        let message = "mqtt: the broker was told of regions with states, and of labels that are true or false each by itself, and these \
            would be others: start the program again";
        return Err(usage(message.into()));
    }
    Ok(())
}

fn check_all(actions: &[Action], networks: &Networks) -> Result<()> {
    actions.iter().try_for_each(|action| {
        check(&action.on(), networks).map_err(|what| usage(format!("{}: {what}", action.name())))
    })
}

/// Labels of regions with a state, where each is true or false by itself.
pub(super) fn each_labels(networks: &Networks) -> Vec<EachLabel> {
    let each = networks.regions.iter().filter(|region| region.rules.as_ref().is_some_and(|rules| rules.each));
    let labels = |region: &Region| {
        let own = region.labels.as_deref().or(networks.of(region).labels.as_deref());
        EachLabel { region: region.name.clone(), labels: own.unwrap_or_default().to_vec() }
    };
    each.map(labels).collect()
}

fn check(on: &On, networks: &Networks) -> Result<(), String> {
    let followed: Vec<&Region> = networks.regions.iter().filter(|region| region.rules.is_some()).collect();
    if followed.is_empty() {
        return Err("no region has a state that could change: give [state] or a region's state".into());
    }
    if let Some(name) = on.regions.iter().find(|name| !followed.iter().any(|region| *region.name == ***name)) {
        return Err(format!("there is no region '{name}' with a state"));
    }
    let watched =
        || followed.iter().filter(|region| on.regions.is_empty() || on.regions.iter().any(|n| **n == *region.name));
    let has = |region: &Region, label: &str| {
        let labels = region.labels.as_deref().or(networks.of(region).labels.as_deref());
        labels.is_none_or(|labels| labels.iter().any(|own| **own == *label))
    };
    match on.labels.iter().find(|label| *label != UNCERTAIN && !watched().any(|region| has(region, label))) {
        Some(label) => Err(format!("no model that it looks at has the label '{label}'")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::error::ErrorKind;

    fn named(text: &str) -> Result<Vec<Action>> {
        let settings = Settings::parse(text, Path::new("camera.toml"))?.over(None)?;
        actions(&settings, &Networks::open(&settings)?)
    }

    const REGIONS: &str =
        "[[region]]\nname = 'gate'\nrect = '0,0,1,1'\nstate = {}\n[[region]]\nname = 'wall'\nrect = '0,0,1,1'\n";

    #[test]
    fn actions_are_read_with_defaults() {
        let text = format!(
            "{REGIONS}[[webhook]]\nurl = 'http://h/'\non = {{ regions = ['gate'], labels = ['cat', 'uncertain'] }}\n\
             [[command]]\nrun = ['a', 'b']\n[[record]]\nfolder = 'x'\nkind = 'clip'\n"
        );
        let actions = named(&text).unwrap();
        assert!(matches!(&actions[0], Action::Webhook(webhook) if !webhook.picture && webhook.on.labels.len() == 2));
        assert!(
            matches!(&actions[1], Action::Command(command) if command.timeout == 10.0 && command.run == ["a", "b"])
        );
        assert!(
            matches!(&actions[2], Action::Record(record) if record.min_free == 100 && record.name.contains("{label}"))
        );
    }

    #[test]
    fn labels_are_told_each_by_itself_where_they_do_not_exclude_one_another() {
        let labels = |text: &str| {
            let settings = Settings::parse(text, Path::new("camera.toml")).unwrap().over(None).unwrap();
            each_labels(&Networks::open(&settings).unwrap())
        };
        assert!(labels("[state]\n").is_empty() && labels("scores = 'sigmoid'\n").is_empty());
        let each = labels("scores = 'sigmoid'\n[state]\n");
        assert_eq!((&*each[0].region, each[0].labels.len()), ("frame", 10));
    }

    #[test]
    fn what_no_event_could_start_is_refused() {
        let command = |on: &str| format!("[[command]]\nrun = ['a']\non = {on}\n");
        for (text, expected) in [
            (command("{}"), "command: no region has a state that could change: give [state] or a region's state"),
            (
                REGIONS.to_owned() + &command("{ regions = ['wall'] }"),
                "command: there is no region 'wall' with a state",
            ),
            (
                REGIONS.to_owned() + &command("{ regions = ['door'] }"),
                "command: there is no region 'door' with a state",
            ),
            (
                REGIONS.to_owned() + &command("{ labels = ['gnu'] }"),
                "command: no model that it looks at has the label 'gnu'",
            ),
            (REGIONS.to_owned() + &"[[record]]\nfolder = 'x'\n".repeat(2), "record: two share the folder x: give each"),
            (REGIONS.to_owned() + &command("{ label = ['cat'] }"), "camera.toml line 10: unknown field `label`"),
        ] {
            let error = named(&text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }
}
