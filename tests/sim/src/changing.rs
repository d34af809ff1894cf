//! Carries changes out, and makes up changes that a seed decides.

use crate::change::{Change, ChangeError};
use crate::ids::Dice;
use crate::org::{
    App, AppGroup, AppUser, Group, GroupAt, GroupType, Org, Scope, User, UserAt, UserStatus, at, ix,
};
use crate::state::State;

/// Makes a change; tells the id of what was made or changed.
pub(crate) fn apply(state: &State, change: &Change) -> Result<String, ChangeError> {
    let now = state.clock.now();
    state.change(|org| org.apply(change, now))
}

impl Org {
    fn find_user(&self, who: &str) -> Result<UserAt, ChangeError> {
        self.user_by_name(who)
            .ok_or_else(|| ChangeError::NoUser(who.to_owned()))
    }

    fn find_group(&self, which: &str) -> Result<GroupAt, ChangeError> {
        self.group_by_name(which)
            .ok_or_else(|| ChangeError::NoGroup(which.to_owned()))
    }

    fn find_app(&self, which: Option<&String>) -> Result<usize, ChangeError> {
        match which {
            None => Ok(self.sign_in),
            Some(id) => self.app_at(id).ok_or_else(|| ChangeError::NoApp(id.clone())),
        }
    }

    fn apply(&mut self, change: &Change, now: i64) -> Result<String, ChangeError> {
        match change {
            Change::AddUser {
                login,
                email,
                first_name,
                last_name,
                status,
                unassigned,
            } => {
                let text = |value: &Option<String>| value.as_deref().map(Box::from);
                let user = User {
                    extra_fields: 0,
                    id: self.next_user_id(),
                    status: status.unwrap_or(UserStatus::Active),
                    first_name: text(first_name),
                    last_name: text(last_name),
                    display_name: None,
                    email: text(email),
                    login: login.as_str().into(),
                    created: now,
                    updated: now,
                    is_deleted: false,
                };
                let id = user.id.to_string();
                self.users.push(user);
                if !unassigned {
                    let row = AppUser {
                        user: at(self.users.len() - 1),
                        scope: Scope::User,
                    };
                    let sign_in = self.sign_in;
                    self.apps[sign_in].users.push(row);
                }
                Ok(id)
            }
            Change::UpdateUser {
                user,
                email,
                login,
                first_name,
                last_name,
                display_name,
            } => {
                let place = self.find_user(user)?;
                let user = &mut self.users[ix(place)];
                let set = |field: &mut Option<Box<str>>, value: &Option<String>| {
                    if let Some(value) = value {
                        *field = (!value.is_empty()).then(|| value.as_str().into());
                    }
                };
                set(&mut user.email, email);
                set(&mut user.first_name, first_name);
                set(&mut user.last_name, last_name);
                set(&mut user.display_name, display_name);
                if let Some(login) = login {
                    user.login = login.as_str().into();
                }
                user.updated = now;
                Ok(user.id.to_string())
            }
            Change::SetStatus { user, status } => {
                let place = self.find_user(user)?;
                let user = &mut self.users[ix(place)];
                (user.status, user.updated) = (*status, now);
                Ok(user.id.to_string())
            }
            Change::DeleteUser { user } => {
                let place = self.find_user(user)?;
                self.users[ix(place)].is_deleted = true;
                self.apps
                    .iter_mut()
                    .for_each(|app| app.users.retain(|row| row.user != place));
                for group in &mut self.groups {
                    if let Ok(row) = group.members.binary_search(&place) {
                        group.members.remove(row);
                        group.membership_updated = now;
                    }
                }
                Ok(self.user(place).id.to_string())
            }
            Change::AssignUser { app, user, scope } => {
                let (app, user) = (self.find_app(app.as_ref())?, self.find_user(user)?);
                self.apps[app].assign(user, scope.unwrap_or(Scope::User));
                Ok(self.user(user).id.to_string())
            }
            Change::UnassignUser { app, user } => {
                let (app, user) = (self.find_app(app.as_ref())?, self.find_user(user)?);
                self.apps[app].users.retain(|row| row.user != user);
                Ok(self.user(user).id.to_string())
            }
            Change::UnassignAllUsers { app } => {
                let app = self.find_app(app.as_ref())?;
                self.apps[app].users.clear();
                Ok(self.apps[app].id.to_string())
            }
            Change::AddGroup {
                name,
                description,
                members,
                unassigned,
            } => {
                let members: Result<Vec<_>, _> = members.iter().map(|who| self.find_user(who)).collect();
                let mut members = members?;
                members.sort_unstable();
                members.dedup();
                let group = Group {
                    id: self.next_group_id(),
                    kind: GroupType::OktaGroup,
                    name: name.clone(),
                    description: description.clone(),
                    created: now,
                    updated: now,
                    membership_updated: now,
                    members,
                    is_deleted: false,
                };
                let id = group.id.to_string();
                self.groups.push(group);
                if !unassigned {
                    let (sign_in, place) = (self.sign_in, at(self.groups.len() - 1));
                    self.apps[sign_in].assign_group(place, now);
                }
                Ok(id)
            }
            Change::RenameGroup {
                group,
                name,
                description,
            } => {
                let place = self.find_group(group)?;
                let group = &mut self.groups[ix(place)];
                if let Some(name) = name {
                    group.name.clone_from(name);
                }
                if description.is_some() {
                    group.description.clone_from(description);
                }
                group.updated = now;
                Ok(group.id.to_string())
            }
            Change::DeleteGroup {
                group,
                still_assigned,
            } => {
                let place = self.find_group(group)?;
                self.groups[ix(place)].is_deleted = true;
                if !still_assigned {
                    self.apps
                        .iter_mut()
                        .for_each(|app| app.groups.retain(|row| row.group != place));
                }
                Ok(self.group(place).id.to_string())
            }
            Change::AssignGroup {
                app,
                group,
                with_members,
            } => {
                let (app, group) = (self.find_app(app.as_ref())?, self.find_group(group)?);
                self.apps[app].assign_group(group, now);
                if *with_members {
                    let members = self.group(group).members.clone();
                    for user in members {
                        self.apps[app].assign(user, Scope::Group);
                    }
                }
                Ok(self.group(group).id.to_string())
            }
            Change::UnassignGroup { app, group } => {
                let (app, group) = (self.find_app(app.as_ref())?, self.find_group(group)?);
                self.apps[app].groups.retain(|row| row.group != group);
                Ok(self.group(group).id.to_string())
            }
            Change::UnassignAllGroups { app, keep_users } => {
                let app = self.find_app(app.as_ref())?;
                let app = &mut self.apps[app];
                app.groups.clear();
                if !keep_users {
                    app.users.retain(|row| row.scope == Scope::User);
                }
                Ok(app.id.to_string())
            }
            Change::AddMember { group, user } => {
                let (group, user) = (self.find_group(group)?, self.find_user(user)?);
                let group = &mut self.groups[ix(group)];
                if let Err(place) = group.members.binary_search(&user) {
                    group.members.insert(place, user);
                    group.membership_updated = now;
                }
                Ok(group.id.to_string())
            }
            Change::RemoveMember { group, user } => {
                let (group, user) = (self.find_group(group)?, self.find_user(user)?);
                let group = &mut self.groups[ix(group)];
                if let Ok(place) = group.members.binary_search(&user) {
                    group.members.remove(place);
                    group.membership_updated = now;
                }
                Ok(group.id.to_string())
            }
            Change::TouchGroup { group, at } => {
                let place = self.find_group(group)?;
                let group = &mut self.groups[ix(place)];
                group.membership_updated = at.unwrap_or(now);
                Ok(group.id.to_string())
            }
            Change::AddApp { label, inactive } => {
                let app = App {
                    id: self.next_app_id(),
                    name: "oidc_client".to_owned(),
                    label: label.clone(),
                    sign_on_mode: "OPENID_CONNECT".to_owned(),
                    application_type: Some("web".to_owned()),
                    is_active: !inactive,
                    created: now,
                    updated: now,
                    users: Vec::new(),
                    groups: Vec::new(),
                    is_deleted: false,
                };
                let id = app.id.to_string();
                self.apps.push(app);
                Ok(id)
            }
            Change::SetAppActive { app, active } => {
                let app = self.find_app(app.as_ref())?;
                let app = &mut self.apps[app];
                (app.is_active, app.updated) = (*active, now);
                Ok(app.id.to_string())
            }
            Change::DeleteApp { app } => {
                let app = self.find_app(app.as_ref())?;
                self.apps[app].is_deleted = true;
                Ok(self.apps[app].id.to_string())
            }
        }
    }
}

impl App {
    fn assign(&mut self, user: UserAt, scope: Scope) {
        match self.find_user(user) {
            Ok(row) => self.users[row].scope = scope,
            Err(row) => self.users.insert(row, AppUser { user, scope }),
        }
    }

    fn assign_group(&mut self, group: GroupAt, now: i64) {
        if let Err(row) = self.find_group(group) {
            let priority = self.groups.iter().map(|row| row.priority + 1).max().unwrap_or(0);
            self.groups.insert(
                row,
                AppGroup {
                    group,
                    priority,
                    updated: now,
                },
            );
        }
    }
}

/// Makes changes that the dice decide, and tells them.
pub(crate) fn mutate(state: &State, dice: &mut Dice, steps: usize) -> Vec<Change> {
    let now = state.clock.now();
    state.change(|org| {
        let mut made = Vec::new();
        for step in 0..steps {
            let Some(change) = random(org, dice, step) else {
                continue;
            };
            if org.apply(&change, now).is_ok() {
                made.push(change);
            }
        }
        made
    })
}

/// A change that fits the org as it is.
fn random(org: &Org, dice: &mut Dice, step: usize) -> Option<Change> {
    let app = &org.apps[org.sign_in];
    let people: Vec<_> = org.users.iter().filter(|user| !user.is_deleted).collect();
    let user = people.get(dice.below(people.len()))?.id.to_string();
    let group = app
        .groups
        .get(dice.below(app.groups.len()))
        .map(|row| org.group(row.group));
    let in_group = group.map(|group| group.id.to_string());
    let number = dice.below(1_000_000);
    Some(match dice.below(16) {
        0 | 1 => Change::UpdateUser {
            user,
            email: Some(format!("moved.{number}@acme.example")),
            login: None,
            first_name: None,
            last_name: None,
            display_name: None,
        },
        2 | 3 => Change::UpdateUser {
            user,
            email: None,
            login: None,
            first_name: None,
            last_name: Some(format!("Newname-{number}")),
            display_name: None,
        },
        4 => Change::SetStatus {
            user,
            status: UserStatus::Suspended,
        },
        5 => Change::SetStatus {
            user,
            status: UserStatus::Active,
        },
        6 | 7 => Change::AddUser {
            login: format!("new.{number}.{step}@acme.example"),
            email: Some(format!("New.{number}@Acme.example")),
            first_name: Some("New".to_owned()),
            last_name: Some(format!("Person {number}")),
            status: None,
            unassigned: false,
        },
        8 => Change::DeleteUser { user },
        9 => Change::UnassignUser { app: None, user },
        10 => Change::AssignUser {
            app: None,
            user,
            scope: None,
        },
        11 | 12 => Change::AddMember {
            group: in_group?,
            user,
        },
        13 | 14 => {
            let members = &group?.members;
            let member = *members.get(dice.below(members.len()))?;
            Change::RemoveMember {
                group: in_group?,
                user: org.user(member).id.to_string(),
            }
        }
        _ => Change::RenameGroup {
            group: in_group?,
            name: Some(format!("Renamed {number}")),
            description: None,
        },
    })
}
