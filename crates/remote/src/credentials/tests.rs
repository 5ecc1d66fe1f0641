use super::*;

fn encoded(pair: &str) -> String {
    BASE64.encode(pair)
}

async fn user_for(text: &str, host: &str, repository: &str) -> Option<String> {
    let credentials = Credentials::parse(&[("config.json".into(), text.into())]).unwrap();
    credentials.find(host, repository, false).await.unwrap().map(|c| c.user().to_owned())
}

#[tokio::test]
async fn a_login_is_handed_on_as_login_takes_it() {
    let text =
        r#"{"auths":{"http://r:5000/":{"username":"ann","password":"p"},"t":{"auth":"dTo=","identitytoken":"x"}}}"#;
    let credentials = Credentials::parse(&[("config.json".into(), text.into())]).unwrap();
    for (registry, expected) in
        [("r:5000", Some(("ann", "p"))), ("https://t", Some((TOKEN_USER, "x"))), ("other", None)]
    {
        let pair = credentials.lookup(registry, "group/project").await.unwrap().map(Credential::into_pair);
        assert_eq!(pair.as_ref().map(|(user, secret)| (user.as_str(), secret.expose())), expected, "{registry}");
    }
}

#[tokio::test]
async fn the_longest_key_wins() {
    let text = format!(
        r#"{{"auths":{{
            "r.example": {{"auth":"{}"}},
            "r.example/team": {{"auth":"{}"}},
            "r.example/team/app": {{"username":"app","password":"x"}},
            "https://old.example/v1/": {{"auth":"{}"}},
            "https://index.docker.io/v1/": {{"auth":"{}"}},
            "empty.example": {{}}
        }}, "HttpHeaders": {{}} }}"#,
        encoded("host:p"),
        encoded("team:p"),
        encoded("old:p:with:colons").trim_end_matches('='),
        encoded("hub:p"),
    );
    for (host, repository, user) in [
        ("r.example", "other/x", Some("host")),
        ("r.example", "team/x", Some("team")),
        ("r.example", "team/app", Some("app")),
        ("r.example", "teamwork/x", Some("host")),
        ("old.example", "a", Some("old")),
        ("docker.io", "library/busybox", Some("hub")),
        ("empty.example", "a", None),
        ("unknown.example", "a", None),
    ] {
        assert_eq!(user_for(&text, host, repository).await.as_deref(), user, "{host}/{repository}");
    }
}

#[tokio::test]
async fn tokens_and_precedence() {
    let token = r#"{"auths":{"r":{"auth":"dTo=","identitytoken":"t"}}}"#;
    let plain = r#"{"auths":{"r":{"username":"second","password":"p"}}}"#;
    let files = [("a".to_owned(), token.to_owned()), ("b".to_owned(), plain.to_owned())];
    let mut credentials = Credentials::parse(&files).unwrap();
    let found = credentials.find("r", "x", false).await.unwrap();
    assert_eq!(found, Some(Credential::IdentityToken(Secret::new("t"))));
    credentials.insert("r", "given", Secret::new("p"));
    assert_eq!(credentials.find("r", "x", false).await.unwrap().unwrap().user(), "given");
}

#[tokio::test]
async fn errors_keep_secrets() {
    let error = Credentials::parse(&[("f".into(), r#"{"auths":"hunter2"}"#.into())]).unwrap_err().to_string();
    assert!(error.contains("line 1") && !error.contains("hunter2"), "{error}");
    let text = r#"{"auths":{"good":{"username":"u","password":"p"},"bad":{"auth":"hunter2!"}}}"#;
    assert_eq!(user_for(text, "good", "x").await.as_deref(), Some("u"));
    let credentials = Credentials::parse(&[("f".into(), text.into())]).unwrap();
    let error = credentials.find("bad", "x", false).await.unwrap_err().to_string();
    assert!(error.contains("`bad`") && !error.contains("hunter2"), "{error}");
    let shown = format!("{credentials:?} {:?}", Credential::of("u".into(), Secret::new("hunter2")));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn a_helper_that_is_not_there_is_named() {
    let text = r#"{"credHelpers":{"r":"archipel-no-such-helper"}}"#;
    let credentials = Credentials::parse(&[("f".into(), text.into())]).unwrap();
    let error = credentials.find("r", "x", false).await.unwrap_err().to_string();
    assert!(error.starts_with("credential helper docker-credential-archipel-no-such-helper:"), "{error}");
    assert_eq!(credentials.find("other", "x", false).await.unwrap(), None);
}

#[tokio::test]
async fn login_and_logout_keep_the_rest_of_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/config.json");
    Credentials::store(&path, "r.example", "u", &Secret::new("p")).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    std::fs::write(&path, r#"{"psFormat":"x","auths":{"a":{"auth":"dTpw","email":"e"}},"detachKeys":"y"}"#).unwrap();
    Credentials::store(&path, "docker.io", "u", &Secret::new("p")).await.unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(user_for(&text, "docker.io", "library/x").await.as_deref(), Some("u"));
    assert!(text.contains("https://index.docker.io/v1/") && text.contains("\"email\": \"e\""), "{text}");
    assert!(text.find("psFormat") < text.find("auths") && text.find("auths") < text.find("detachKeys"), "{text}");

    assert!(Credentials::erase(&path, "docker.io").await.unwrap());
    assert!(!Credentials::erase(&path, "docker.io").await.unwrap());
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("index.docker.io") && text.contains("psFormat"), "{text}");
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file is left");

    std::fs::write(&path, "[]").unwrap();
    assert!(Credentials::store(&path, "r", "u", &Secret::new("p")).await.is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "[]", "what we do not understand is not overwritten");
}
