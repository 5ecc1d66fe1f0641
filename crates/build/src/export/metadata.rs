//! What `--metadata-file` holds, with the keys that buildx has.

use archipel_oci::Reference;
use serde_json::{Map, Value, json};

use super::image::Image;

pub(super) fn metadata(image: Option<&Image>, names: &[Reference]) -> Value {
    let mut all = Map::new();
    if let Some(image) = image {
        if let [only] = image.members.as_slice() {
            all.insert("containerimage.config.digest".into(), json!(only.config));
        }
        all.insert("containerimage.descriptor".into(), json!(image.entry));
        all.insert("containerimage.digest".into(), json!(image.top.digest()));
    }
    if !names.is_empty() {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        all.insert("image.name".into(), json!(names.join(",")));
    }
    Value::Object(all)
}
