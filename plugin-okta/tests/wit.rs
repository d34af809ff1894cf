//! The contract in `wit/` parses, and every item of it is documented.

use std::path::Path;

use wit_parser::{FunctionKind, Resolve, TypeDefKind};

fn contract() -> (Resolve, wit_parser::PackageId) {
    let mut resolve = Resolve::default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let (package, _) = resolve.push_path(folder).expect("wit/ must parse");
    (resolve, package)
}

#[test]
fn every_item_of_the_contract_is_documented() {
    let (resolve, package) = contract();
    let package = &resolve.packages[package];
    let mut bare: Vec<String> = Vec::new();
    let mut look = |name: String, docs: &wit_parser::Docs| {
        if docs.contents.as_deref().is_none_or(|text| text.trim().is_empty()) {
            bare.push(name);
        }
    };
    look(package.name.to_string(), &package.docs);
    for (name, id) in &package.worlds {
        look(name.clone(), &resolve.worlds[*id].docs);
    }
    for (name, id) in &package.interfaces {
        let interface = &resolve.interfaces[*id];
        look(name.clone(), &interface.docs);
        for function in interface.functions.values() {
            if !matches!(function.kind, FunctionKind::Constructor(_)) {
                look(format!("{name}.{}", function.name), &function.docs);
            }
        }
        for (type_name, id) in &interface.types {
            let definition = &resolve.types[*id];
            let full = format!("{name}.{type_name}");
            match &definition.kind {
                TypeDefKind::Type(_) => continue, // A name that `use` brings in.
                TypeDefKind::Record(record) => {
                    for field in &record.fields {
                        look(format!("{full}.{}", field.name), &field.docs);
                    }
                }
                TypeDefKind::Enum(cases) => {
                    for case in &cases.cases {
                        look(format!("{full}.{}", case.name), &case.docs);
                    }
                }
                TypeDefKind::Variant(cases) => {
                    for case in &cases.cases {
                        look(format!("{full}.{}", case.name), &case.docs);
                    }
                }
                TypeDefKind::Flags(flags) => {
                    for flag in &flags.flags {
                        look(format!("{full}.{}", flag.name), &flag.docs);
                    }
                }
                _ => {}
            }
            look(full, &definition.docs);
        }
    }
    assert!(bare.is_empty(), "without documentation: {bare:?}");
}

#[test]
fn the_contract_is_the_package_and_world_that_the_design_names() {
    let (resolve, package) = contract();
    let package = &resolve.packages[package];
    assert_eq!(package.name.to_string(), "idsync:plugin@0.1.0");
    assert!(package.worlds.contains_key("provider"));
    let interfaces: Vec<&str> = package.interfaces.keys().map(String::as_str).collect();
    for name in [
        "types",
        "directory-sync",
        "identity-store",
        "key-store",
        "vault",
        "timer",
        "log",
    ] {
        assert!(interfaces.contains(&name), "{name}");
    }
}
