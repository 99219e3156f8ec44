//! What the module of the appliance and the program have to say alike.

use rack::store::SCHEMA;

#[test]
fn the_module_declares_the_schema_as_a_version_of_the_data() {
    let module = include_str!("../../../modules/services/rack.nix");
    assert!(module.contains(&format!("  schema = \"{SCHEMA}\";\n")));
}
