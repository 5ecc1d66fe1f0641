use super::*;

fn at(name: &str) -> Reference {
    format!("registry.example/{name}").parse().unwrap()
}

fn image(name: &str, platform: &str) -> IndexEntry {
    let mut descriptor = Descriptor::of(media_type::OCI_MANIFEST, name.as_bytes());
    descriptor.platform = Some(platform.parse().unwrap());
    IndexEntry { origin: at("x").with_digest(descriptor.digest.clone()), descriptor }
}

fn about(entry: &IndexEntry) -> IndexEntry {
    let digest = &entry.descriptor.digest;
    let mut attestation = image(&format!("about {digest}"), "unknown/unknown");
    attestation.descriptor.annotations.insert("vnd.docker.reference.type".into(), "attestation-manifest".into());
    attestation.descriptor.annotations.insert(archipel_oci::ATTESTED.into(), digest.to_string());
    attestation
}

fn source(entries: Vec<IndexEntry>) -> IndexSource {
    let mut index = Index::new(entries.iter().map(|entry| entry.descriptor.clone()).collect());
    index.annotations.insert("kept".into(), "1".into());
    IndexSource { reference: at("x:1"), manifest: RawManifest::from_index(&index), entries }
}

fn index(new: &NewIndex) -> Index {
    match new.manifest().parse().unwrap() {
        Document::Index(index) => *index,
        Document::Manifest(_) => panic!("no index"),
    }
}

fn members(new: &NewIndex) -> Vec<String> {
    index(new).manifests.iter().map(shown).collect()
}

#[test]
fn sources_come_in_flat_and_once() {
    let (a, b) = (image("a", "linux/amd64"), image("b", "linux/arm64"));
    let sources = [source(vec![a.clone(), about(&a)]), source(vec![b.clone()]), source(vec![b])];
    let new = NewIndex::of(&sources, BTreeMap::new()).unwrap();
    assert_eq!(members(&new), ["linux/amd64", "unknown/unknown", "linux/arm64"]);
    assert!(index(&new).annotations.is_empty());
    assert_eq!(new.entries().len(), 3);
}

#[test]
fn one_index_stays_what_it_is() {
    let only = source(vec![image("a", "linux/amd64")]);
    let new = NewIndex::of(std::slice::from_ref(&only), BTreeMap::new()).unwrap();
    assert_eq!(new.manifest(), &only.manifest);
    let noted = NewIndex::of(std::slice::from_ref(&only), BTreeMap::from([("a".into(), "b".into())])).unwrap();
    assert_ne!(noted.manifest(), &only.manifest);
    assert_eq!(index(&noted).annotations["a"], "b");
}

#[test]
fn a_new_image_takes_the_old_one_s_place() {
    let (a, b) = (image("a", "linux/amd64"), image("b", "linux/arm64"));
    let target = source(vec![a.clone(), b.clone(), about(&a), about(&b)]);
    let newer = image("newer", "linux/amd64");
    let new = NewIndex::extended(&target, &[source(vec![newer.clone(), about(&newer)])], BTreeMap::new()).unwrap();
    let digests: Vec<Digest> = index(&new).manifests.into_iter().map(|child| child.digest).collect();
    let expected = [&b, &about(&b), &newer, &about(&newer)].map(|entry| entry.descriptor.digest.clone());
    assert_eq!(digests, expected);
    assert_eq!(index(&new).annotations["kept"], "1");
}

#[test]
fn what_goes_takes_its_attestations_along() {
    let (a, b) = (image("a", "linux/amd64"), image("b", "linux/arm64"));
    let target = source(vec![a.clone(), b.clone(), about(&a), about(&b)]);
    let amd64: Platform = "linux/amd64".parse().unwrap();
    let is = |platform: Platform| move |entry: &IndexEntry| entry.descriptor.platform.as_ref() == Some(&platform);
    let new = NewIndex::reduced(&target, is(amd64)).unwrap();
    assert_eq!(members(&new), ["linux/arm64", "unknown/unknown"]);
    let error = NewIndex::reduced(&target, is("linux/s390x".parse().unwrap())).unwrap_err().to_string();
    assert!(error.contains("it has linux/amd64, linux/arm64"), "{error}");
    assert!(NewIndex::reduced(&target, |entry| !entry.is_attestation()).is_err());
}

#[test]
fn docker_s_manifests_make_docker_s_list() {
    let docker = |name: &str, platform: &str| {
        let mut entry = image(name, platform);
        entry.descriptor.media_type = media_type::DOCKER_MANIFEST.into();
        entry
    };
    let (a, b) = (docker("a", "linux/amd64"), docker("b", "linux/arm64"));
    let new = NewIndex::of_entries(vec![a.clone(), b]).unwrap();
    assert_eq!(new.manifest().media_type(), media_type::DOCKER_LIST);
    let mixed = NewIndex::of_entries(vec![a, image("c", "linux/arm64")]).unwrap();
    assert_eq!(mixed.manifest().media_type(), media_type::OCI_INDEX);
}
