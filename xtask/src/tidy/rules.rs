//! The rules that runs keep: each that `docs/runs.md` numbers has a test that is named after it.

use std::collections::BTreeSet;
use std::path::Path;

use super::Finding;

/// The page of the rules.
pub const PAGE: &str = "docs/runs.md";

/// The rules of which a source file has tests, as `6_3`.
pub fn tested(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.split_once("fn runs_"))
        .filter_map(|(_, name)| {
            let mut parts = name.split('_');
            let (section, rule) = (parts.next()?, parts.next()?);
            parts.next()?;
            Some(format!("{}_{}", number(section)?, number(rule)?))
        })
        .collect()
}

/// The rules of the page that no test is named after.
pub fn check(page: &str, tested: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut rules = 0;
    for (index, line) in page.lines().enumerate() {
        let Some((rule, _)) = line.strip_prefix("- **").and_then(|rest| rest.split_once("**")) else {
            continue;
        };
        rules += 1;
        let name = rule.replace('.', "_");
        if !tested.contains(&name) {
            findings.push(finding(
                index + 1,
                format!("no test holds rule {rule}: name one `runs_{name}_…`"),
            ));
        }
    }
    if rules == 0 {
        findings.push(finding(
            0,
            "no rule was found: each begins with `- **1.1**`".to_owned(),
        ));
    }
    findings
}

fn finding(line: usize, text: String) -> Finding {
    Finding {
        file: Path::new(PAGE).to_owned(),
        line,
        text,
    }
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_without_a_test_is_told_with_its_line() {
        let source = "#[test]\nfn runs_6_3_who_lost_it_writes_nothing() {}\nasync fn runs_6_10_x() {}";
        let page = "# Rules\n\n- **6.3** One.\n- **6.10** Two.\n- **6.1** Three.\n";

        let findings = check(page, &tested(source));

        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].line, 5);
        assert!(findings[0].text.contains("runs_6_1_"), "{findings:?}");
    }

    #[test]
    fn a_page_without_rules_is_no_page_of_rules() {
        assert_eq!(check("# Rules\n", &BTreeSet::new()).len(), 1);
    }
}
