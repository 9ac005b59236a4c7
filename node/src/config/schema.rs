//! The JSON schema of the configuration, from the comments and types of `file`.

use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

/// JSON schema (draft 2020-12) of a file of type `T`.
#[must_use]
pub fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(without_null);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// TOML has no null: what is optional is left out. Defaults stand in the descriptions, in the form one writes.
fn without_null(schema: &mut Schema) {
    if let Some(object) = schema.as_object_mut() {
        object.remove("default");
        object.remove("format");
        if let Some(Value::Array(types)) = object.get_mut("type") {
            types.retain(|kind| kind != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                object.insert("type".into(), only);
            }
        }
        if let Some(Value::Array(mut options)) = object.remove("anyOf") {
            options.retain(|option| option.get("type").is_none_or(|kind| kind != "null"));
            match options.as_slice() {
                [Value::Object(only)] => object.extend(only.clone()),
                _ => drop(object.insert("anyOf".into(), Value::Array(options))),
            }
        }
    }
    transform_subschemas(&mut without_null, schema);
}

/// The schema that `schema` stands for: follows one `$ref` into the definitions of `root`.
pub(super) fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = schema.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#'));
    reference.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::file::File;

    /// Calls `seen` with path and schema of every key.
    pub(in crate::config) fn visit(
        root: &Value,
        schema: &Value,
        path: &str,
        seen: &mut dyn FnMut(&str, &Value),
    ) {
        let inner = resolve(root, schema);
        for (key, property) in inner.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            seen(&path, property);
            visit(root, property, &path, seen);
        }
        if let Some(items) = inner.get("items") {
            visit(root, items, path, seen);
        }
    }

    #[test]
    fn every_key_is_described_and_none_may_be_null() {
        let root = of::<File>();
        let mut keys = 0;
        visit(&root, &root, "", &mut |path, schema| {
            keys += 1;
            let described = schema.get("description").and_then(Value::as_str).unwrap_or_default();
            assert!(described.len() > 4, "{path} has no description");
        });
        assert!(keys > 50, "{keys} keys");
        assert!(!root.to_string().contains("\"null\""), "{root}");
    }

    #[test]
    fn unknown_keys_are_refused_everywhere() {
        let root = of::<File>();
        let mut tables = vec![&root];
        tables
            .extend(root["$defs"].as_object().unwrap().values().filter(|schema| schema["type"] == "object"));
        for table in tables {
            assert_eq!(table["additionalProperties"], Value::Bool(false), "{table}");
        }
    }
}
