//! The documents that are made from the code: what is in the tree is what the code says. `CALLBOX_BLESS=1 cargo test --test reference` writes it anew.

use std::{env, fs, path::Path};

fn is_up_to_date(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if env::var_os("CALLBOX_BLESS").is_some() {
        fs::create_dir_all(path.parent().expect("the file is in a folder")).unwrap();
        fs::write(&path, text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "{file} is not what the code says; run: CALLBOX_BLESS=1 cargo test --test reference"
    );
}

#[test]
fn the_reference_is_up_to_date() {
    is_up_to_date("docs/configuration.md", &callbox::config::markdown());
}

#[test]
fn the_annotated_file_is_up_to_date() {
    is_up_to_date("deploy/callbox.toml", &callbox::config::annotated_file());
}

#[test]
fn the_types_for_typescript_are_up_to_date() {
    is_up_to_date("clients/js/events.d.ts", &callbox::documents::typescript());
}

#[test]
fn the_document_of_the_events_is_up_to_date() {
    is_up_to_date("docs/asyncapi.json", &callbox::documents::asyncapi());
}

#[test]
fn the_document_of_the_http_api_is_up_to_date() {
    is_up_to_date("docs/openapi.json", &callbox::documents::openapi());
}
