//! What an admin is told to do, where more than one place says it. The plugin does not know what its directory is called:
//! commands have `ID` there, as the documentation does.

/// What to check of a Forbidden, when it is not known which of them it is.
pub const FOUR_THINGS: &str = "Check at Okta that (1) the role has all three permissions, to view users, groups and \
                               applications with their details; (2) the resource set holds the sign-in app, all users \
                               and all groups; (3) the API service app has the role assigned together with that \
                               resource set; (4) all three scopes are granted. `idsync directory verify ID` says which.";

/// The first of the four.
pub const ROLE_PERMISSIONS: &str = "Security \u{2192} Administrators \u{2192} Roles: open the role and give it the \
                                    permission";
/// The second of the four.
pub const RESOURCE_SET: &str =
    "Security \u{2192} Administrators \u{2192} Resources: open the resource set and add";
/// The third of the four.
pub const ROLE_ASSIGNED: &str = "No role lets the service app see anything. At Okta open the API service app, Admin \
                                 roles \u{2192} Edit assignments, and assign the role `idsync Sync Read Only` with the \
                                 resource set `idsync Resources`; then Save changes.";
/// The fourth of the four; the scope's name follows.
pub const SCOPE: &str = "At Okta open the API service app, tab Okta API Scopes, and grant";

/// The key.
pub const KEY: &str = "Okta does not know this directory's public key. Show it (`idsync directory key ID`), and at Okta \
                       paste it whole, from the first brace to the last, into the API service app: General \u{2192} \
                       Client Credentials \u{2192} Edit \u{2192} Public key / Private key \u{2192} Add key \u{2192} Done, \
                       then Save.";
/// The client id.
pub const CLIENT: &str = "Okta knows no such client. Copy the Client ID from the General tab of the API service app, and \
                          check that `okta_domain` is the org in which that app is.";
/// The kind of app.
pub const SERVICE_APP: &str = "This client is no API service app. At Okta make one (Applications \u{2192} Create App \
                               Integration \u{2192} API Services) and use its Client ID.";
/// The way the app authenticates.
pub const AUTH_METHOD: &str = "At Okta open the API service app, General \u{2192} Client Credentials \u{2192} Edit, set \
                               Client authentication to Public key / Private key, add this directory's public key and \
                               Save.";
/// Times.
pub const CLOCK: &str = "Requests are signed in the time that Okta's answers tell. Check that nothing between this host \
                         and Okta changes or caches answers, and that this host's clock is right.";
/// The assertion was seen before.
pub const REPLAYED: &str = "Something sent the same signed request twice. Check that no proxy between this host and Okta \
                            repeats requests; then try again.";
/// The proof of possession.
pub const PROOF_REFUSED: &str = "Check that `okta_domain` is the address under which Okta itself knows the org, and that \
                                 no proxy changes or repeats requests on their way.";
/// The client or its key, where Okta does not say which.
pub const CLIENT_OR_KEY: &str = "Check that the Client ID is that of the API service app, and that the app has this \
                                 directory's public key (General \u{2192} Client Credentials \u{2192} Public key / \
                                 Private key) and was saved.";
/// Nothing to mend here.
pub const UNAVAILABLE: &str = "Usually it passes by itself. If it does not: where the name can't be resolved, check \
                               the spelling of `okta_domain`; where the certificate is not trusted, something between \
                               this host and Okta reads TLS, whose CA the operator of idsync must give (`--ca-cert`); \
                               else look at Okta's status page and at the network.";
/// An answer that nobody expects.
pub const UNEXPECTED: &str = "Check that `okta_domain` is the org's own address with nothing in between that rewrites \
                              answers. If it is, give Okta's support the request id.";
/// Limits of the host and of the plugin. It says whose they are, because at Okta there is nothing to raise.
pub const OWN_LIMIT: &str = "The limit is one of idsync, not of Okta, and fixed in this version: no setting raises it. \
                             Check that no proxy between this host and Okta makes requests or answers larger. If none \
                             does, shorten at Okta what was asked for (such as a profile with very long values), or \
                             report this to idsync.";
/// The host's own rules.
pub const ADDRESS_REFUSED: &str = "Check `okta_domain`. If the name is right and leads to a private address on purpose, \
                                   the operator of idsync must allow it (`--allow-private-egress`).";
/// No org answers.
pub const NO_ORG: &str = "Check `okta_domain`: the address in the user menu at the upper right of the Okta dashboard, \
                          such as `your-company.okta.com`.";

#[cfg(test)]
mod tests {
    use crate::guide;

    #[test]
    fn each_command_says_where_the_directory_is_to_be_named() {
        let steps = guide::steps();
        let texts = steps.iter().map(|step| step.text);
        let commands: Vec<&str> = texts
            .chain([super::FOUR_THINGS, super::KEY])
            .flat_map(|text| text.split('`').skip(1).step_by(2))
            .filter(|quoted| quoted.starts_with("idsync directory ") || quoted.starts_with("idsync sync"))
            .collect();
        assert_eq!(commands.len(), 7, "{commands:?}");
        for command in commands {
            let words: Vec<&str> = command.split(' ').collect();
            assert!(words.contains(&"ID") || words.contains(&"NAME"), "{command}");
        }
    }
}
