use super::*;

fn org(id: &str) -> OrgId {
    OrgId::new(id).unwrap()
}

fn person(role: Role, teams: &[(&str, Role)]) -> Standing {
    let teams = teams.iter().map(|(team, role)| (TeamId::new(*team).unwrap(), *role));
    let user = UserId::new("alice").unwrap();
    Standing { user: Some((org("acme"), user)), role, teams: teams.collect() }
}

fn scope(org_id: &str, team: Option<&str>, user: Option<&str>) -> Scope {
    Scope {
        org: Some(org(org_id)),
        team: team.map(|team| TeamId::new(team).unwrap()),
        user: user.map(|user| UserId::new(user).unwrap()),
    }
}

#[test]
fn words_and_roles_are_told_apart() {
    for role in Role::ALL {
        assert_eq!(Role::parse(role.as_str()), Some(role));
        let of_users = Role::OF_USERS.contains(&role);
        assert_ne!(of_users, Role::OF_MEMBERS.contains(&role), "{role:?}");
    }
    let words: std::collections::BTreeSet<_> = Action::ALL.iter().map(|a| a.as_str()).collect();
    assert_eq!(words.len(), Action::ALL.len());
}

/// Whoever may change an object sees it, or an answer would say that what he changed is not there.
#[test]
fn nobody_changes_what_he_does_not_see() {
    for action in Action::ALL {
        assert_eq!(action.sight().sight(), action.sight(), "{action:?}");
        for role in Role::ALL {
            assert!(reach(role, *action) <= reach(role, action.sight()), "{role:?} {action:?}");
        }
    }
}

/// The rules that an organisation relies on whatever else the table comes to say.
#[test]
fn no_role_reaches_beyond_its_place() {
    for action in Action::ALL {
        for role in Role::ALL {
            let most = match role {
                Role::PlatformAdmin => Reach::All,
                Role::TeamAdmin | Role::TeamDeveloper | Role::TeamViewer => Reach::Team,
                _ => Reach::Org,
            };
            let shared = *action == Action::ModelsRead;
            assert!(shared || reach(role, *action) <= most, "{role:?} {action:?}");
        }
    }
    for action in [
        Action::OrgsWrite,
        Action::WalletsWrite,
        Action::ModelsWrite,
        Action::LedgerRepair,
        Action::ServerWrite,
    ] {
        let allowed = Role::ALL.into_iter().filter(|role| reach(*role, action) > Reach::Nothing);
        assert_eq!(allowed.collect::<Vec<_>>(), [Role::PlatformAdmin], "{action:?}");
    }
    let auditor = Action::ALL.iter().filter(|action| {
        action.sight() != **action && reach(Role::OrgAuditor, **action) > Reach::Own
    });
    assert_eq!(auditor.count(), 0, "an auditor changes nothing but what is his own");
}

#[test]
fn foreign_objects_are_hidden_and_seen_ones_forbidden() {
    let owner = person(Role::OrgOwner, &[]);
    let member = person(Role::OrgMember, &[("search", Role::TeamDeveloper)]);
    let acme = scope("acme", None, None);
    let beta = scope("beta", None, None);
    assert_eq!(decide(&owner, Action::TeamsWrite, &acme), Verdict::Allowed);
    assert_eq!(decide(&owner, Action::OrgsWrite, &acme), Verdict::Forbidden);
    assert_eq!(decide(&owner, Action::OrgsWrite, &beta), Verdict::Hidden);
    assert_eq!(decide(&owner, Action::TeamsWrite, &beta), Verdict::Hidden);
    // the same team and user elsewhere are somebody else's
    let elsewhere = scope("beta", Some("search"), Some("alice"));
    assert_eq!(decide(&member, Action::KeysRead, &elsewhere), Verdict::Hidden);
    let own = scope("acme", Some("search"), Some("alice"));
    assert_eq!(decide(&member, Action::KeysRead, &own), Verdict::Allowed);
    assert_eq!(decide(&member, Action::KeysWrite, &own), Verdict::Forbidden);
    let others = scope("acme", Some("search"), Some("bob"));
    assert_eq!(decide(&member, Action::KeysRead, &others), Verdict::Hidden);
    assert_eq!(decide(&member, Action::CreateSelf, &own), Verdict::Allowed);
    let other_team = scope("acme", Some("ads"), Some("alice"));
    assert_eq!(decide(&member, Action::CreateSelf, &other_team), Verdict::Hidden);
}

#[test]
fn the_admin_token_is_no_user_and_owns_nothing() {
    let token = Standing::admin_token();
    assert_eq!(decide(&token, Action::OrgsWrite, &scope("acme", None, None)), Verdict::Allowed);
    assert_eq!(decide(&token, Action::MyKeys, &Scope::default()), Verdict::Forbidden);
    assert_eq!(sight(&token, Action::KeysRead), Some(Sight::Everything));
    assert_eq!(sight(&token, Action::MyKeys), None);
}

#[test]
fn lists_show_what_the_widest_role_reaches() {
    let teams = [("search", Role::TeamAdmin), ("ads", Role::TeamDeveloper)];
    let member = person(Role::OrgMember, &teams);
    let part = |teams: &[&str], user: Option<&str>| {
        let teams = teams.iter().map(|team| TeamId::new(*team).unwrap());
        let user = user.map(|user| UserId::new(user).unwrap());
        Some(Sight::Part { org: org("acme"), teams: teams.collect(), user })
    };
    assert_eq!(sight(&member, Action::KeysRead), part(&["search"], Some("alice")));
    assert_eq!(sight(&member, Action::TeamsRead), part(&["search", "ads"], None));
    assert_eq!(sight(&member, Action::UsersRead), part(&[], Some("alice")));
    assert_eq!(sight(&member, Action::AuditRead), None);
    let auditor = person(Role::OrgAuditor, &teams);
    assert_eq!(sight(&auditor, Action::KeysRead), Some(Sight::Org(org("acme"))));
}
