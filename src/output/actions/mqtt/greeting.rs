//! What is told at each connection.

use super::discovery::Discovery;
use super::home::{Camera, Home, Place, Retained, on_off};

/// All that holds, and what Home Assistant wants to know.
pub(super) fn greeting(home: &Home, camera: &Camera, places: &[Place]) -> Vec<Retained> {
    let mut all = vec![(home.status_topic(), "online".to_owned())];
    if home.commands {
        all.push((home.paused_topic(), on_off(camera.paused)));
        all.extend(camera.model.iter().map(|model| (home.model_topic(), model.clone())));
    }
    if !home.discovery.is_empty() {
        all.extend(Discovery::new(home, places).all());
    }
    for place in places {
        all.push((home.state_topic(&place.name), place.state.clone()));
        all.extend(home.labels_of(&place.name).iter().map(|label| home.label_state(place, label)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::home::tests::all;
    use super::*;

    #[test]
    fn all_that_holds_is_told_at_each_connection() {
        let (home, places) = all();
        let silent = Home { discovery: String::new(), ..home };
        let camera = Camera { paused: true, diagnostics: None, model: Some("{}".into()) };
        let told: Vec<String> = greeting(&silent, &camera, &places).into_iter().map(|(a, b)| a + " " + &b).collect();
        let expected = [
            "densight/front/status online",
            "densight/front/paused ON",
            "densight/front/model {}",
            "densight/front/back_gate/state open",
            "densight/front/Tür/state Person da",
            "densight/front/Tür/label/offen OFF",
            "densight/front/Tür/label/Person_da ON",
        ];
        assert_eq!(told, expected);
    }
}
