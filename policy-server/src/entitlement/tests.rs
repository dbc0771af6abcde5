//! Against a naive model: sets of numbers, written out for each level.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Models and groups of the little worlds below.
const MODELS: usize = 6;
const GROUPS: usize = 4;

fn model(index: usize) -> ModelName {
    ModelName::new(format!("m{index}")).unwrap()
}

fn group(index: usize) -> GroupName {
    GroupName::new(format!("g{index}")).unwrap()
}

/// One level: none for everything, or the numbers of models and groups.
type Level = Option<(BTreeSet<usize>, BTreeSet<usize>)>;

fn level() -> impl Strategy<Value = Level> {
    let models = prop::collection::btree_set(0..MODELS, 0..=MODELS);
    // one group more than there are: granted before it has members
    let groups = prop::collection::btree_set(0..=GROUPS, 0..=2);
    prop_oneof![1 => Just(None), 3 => (models, groups).prop_map(Some)]
}

fn selection(level: &Level) -> Selection {
    match level {
        None => Selection::All,
        Some((models, groups)) => Selection::Chosen(Chosen {
            models: models.iter().copied().map(model).collect(),
            groups: groups.iter().copied().map(group).collect(),
        }),
    }
}

/// The numbers of the models that a level allows, written out.
fn allowed(level: &Level, members: &[BTreeSet<usize>]) -> BTreeSet<usize> {
    let Some((models, groups)) = level else { return (0..MODELS).collect() };
    let mut all = models.clone();
    for index in groups {
        all.extend(members.get(*index).into_iter().flatten());
    }
    all
}

fn scopes(levels: &[Level]) -> Scopes {
    let [org, plan, team, user, key] = levels else { panic!("five levels") };
    Scopes {
        org: selection(org),
        plan: selection(plan),
        team: selection(team),
        user: selection(user),
        key: selection(key),
    }
}

const LEVELS: [Missing; 5] =
    [Missing::NotInCatalogue, Missing::NotInPlan, Missing::Team, Missing::User, Missing::Key];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_effective_set_and_its_reasons_are_those_of_plain_sets(
        levels in prop::collection::vec(level(), 5),
        members in prop::collection::vec(prop::collection::btree_set(0..MODELS, 0..=3), GROUPS),
        removed in prop::collection::btree_set(0..MODELS, 0..=1),
        unpriced in prop::collection::btree_set(0..MODELS, 0..=1),
    ) {
        let scopes = scopes(&levels);
        let named: Members = members
            .iter()
            .enumerate()
            .map(|(index, models)| (group(index), models.iter().copied().map(model).collect()))
            .collect();
        let told = scopes.models(&named);
        let sets: Vec<_> = levels.iter().map(|level| allowed(level, &members)).collect();
        prop_assert_eq!(told == ModelSet::All, levels.iter().all(Option::is_none));
        if let ModelSet::Only(names) = &told {
            let once: BTreeSet<_> = names.iter().collect();
            prop_assert_eq!(once.len(), names.len(), "each once");
        }
        for index in 0..MODELS {
            let name = model(index);
            let in_all = sets.iter().all(|set| set.contains(&index));
            prop_assert_eq!(told.contains(&name), in_all, "model {}", index);

            let groups: Vec<_> = (0..GROUPS)
                .filter(|at| members.get(*at).is_some_and(|models| models.contains(&index)))
                .map(group)
                .collect();
            let offer = Offer {
                model: &name,
                groups: &groups,
                removed: removed.contains(&index),
                priced: !unpriced.contains(&index),
            };
            let mut expected = Vec::new();
            if removed.contains(&index) {
                expected.push(Missing::Removed);
            }
            if unpriced.contains(&index) {
                expected.push(Missing::NoPrice);
            }
            let refusing = sets.iter().zip(LEVELS).filter(|(set, _)| !set.contains(&index));
            expected.extend(refusing.map(|(_, reason)| reason));
            prop_assert_eq!(scopes.missing(&offer), expected, "model {}", index);
        }
        let told = scopes.above_members().models(&named);
        for index in 0..MODELS {
            let entitled = sets.iter().take(2).all(|set| set.contains(&index));
            prop_assert_eq!(told.contains(&model(index)), entitled);
        }
    }

    #[test]
    fn only_the_groups_that_are_named_need_to_be_known(
        levels in prop::collection::vec(level(), 5),
        members in prop::collection::vec(prop::collection::btree_set(0..MODELS, 0..=3), GROUPS),
    ) {
        let scopes = scopes(&levels);
        let all: Members = members
            .iter()
            .enumerate()
            .map(|(index, models)| (group(index), models.iter().copied().map(model).collect()))
            .collect();
        let named = scopes.groups();
        let few = all.iter().filter(|(group, _)| named.contains(group));
        let few: Members = few.map(|(group, models)| (group.clone(), models.clone())).collect();
        prop_assert_eq!(scopes.models(&few), scopes.models(&all));
    }

    #[test]
    fn a_selection_comes_back_from_the_store(level in level()) {
        let selection = selection(&level);
        let text = serde_json::to_string(&selection).unwrap();
        prop_assert_eq!(serde_json::from_str::<Selection>(&text).unwrap(), selection);
    }
}

#[test]
fn what_was_stored_before_there_were_groups_means_the_same() {
    let read = |text: &str| serde_json::from_str::<Selection>(text).unwrap();
    assert_eq!(read("\"all\""), Selection::All);
    assert_eq!(read("{\"only\":[]}"), Selection::nothing());
    let only = Chosen { models: vec![model(1)], groups: Vec::new() };
    assert_eq!(read("{\"only\":[\"m1\"]}"), Selection::Chosen(only.clone()));
    assert_eq!(
        serde_json::to_string(&Selection::Chosen(only)).unwrap(),
        serde_json::to_string(&ModelSet::Only(vec![model(1)])).unwrap()
    );
}
