use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

impl Variables for HashMap<&str, &str> {
    fn get(&self, name: &str) -> Option<&str> {
        HashMap::get(self, name).copied()
    }
}

fn variables() -> HashMap<&'static str, &'static str> {
    [
        ("PWD", "/home"),
        ("SHELL", "bash"),
        ("NULL", ""),
        ("KO", "한국어"),
        ("P", "/usr/local/bin/x.tar.gz"),
        ("S", "foobarbaz"),
        ("M", "a\nb"),
        ("B", "\\*b"),
    ]
    .into_iter()
    .collect()
}

fn expand(word: &str) -> Result<String, String> {
    Lexer::new('\\').expand(word, &variables()).map(|e| e.text).map_err(|e| e.reason)
}

#[test]
fn as_docker_does() {
    for (word, text) in [
        ("hello", "hello"),
        ("he'll'o", "hello"),
        ("he\\'llo", "he'llo"),
        ("abc\\tdef", "abctdef"),
        ("\"abc\\tdef\"", "abc\\tdef"),
        ("\"abc\\\\tdef\"", "abc\\tdef"),
        ("'abc\\tdef'", "abc\\tdef"),
        ("hello\\", "hello"),
        ("hello\\\\", "hello\\"),
        ("\"\"", ""),
        ("\"$\"", "$"),
        ("$", "$"),
        ("he$xx", "he"),
        ("he$$x", "hex"),
        ("he${PWD}xx", "he/homexx"),
        ("'he$PWD'", "he$PWD"),
        ("\"he'$PWD'\"", "he'/home'"),
        ("he\\$PWD", "he$PWD"),
        ("\"he\\$PWD\"", "he$PWD"),
        ("'he\\$PWD'", "he\\$PWD"),
        ("he${XXX:-$PWD}xx", "he/homexx"),
        ("he${XXX:-${YYY:-yyy}}xx", "heyyyxx"),
        ("he${NULL:-x}${NULL-y}", "hex"),
        ("he${NULL:+x}${NULL+y}", "hey"),
        ("he${PWD:+${PWD}:}xx", "he/home:xx"),
        ("he${XXX:-\\$PWD:}xx", "he$PWD:xx"),
        ("he${XXX:-\\${PWD}z}xx", "he${PWDz}xx"),
        ("${XXX:-'a b'}", "a b"),
        ("안$KO", "안한국어"),
        ("${aaa}}", "}"),
        ("$5${999:-b}$001aaa", "baaa"),
        ("$@${@:-b}${-:-c}$-x", "bcx"),
        ("${S#f*b}", "arbaz"),
        ("${S##f*b}", "az"),
        ("${S%b*}", "foobar"),
        ("${S%%b*}", "foo"),
        ("${P##*/}", "x.tar.gz"),
        ("${P%%.*}", "/usr/local/bin/x"),
        ("${S#}${S%}", "foobarbazfoobarbaz"),
        ("${S/ba/X}", "fooXrbaz"),
        ("${S//ba/X}", "fooXrXz"),
        ("${S//ba/}", "foorz"),
        ("${S/o*a/-}", "f-z"),
        ("${P//\\//.}", ".usr.local.bin.x.tar.gz"),
        ("${S/b/\\$1-}", "foo\\$1-arbaz"),
        ("${S//b/\\$1-}", "foo\\-ar\\-az"),
        ("${B#\"\\*\"}", "*b"),
        ("${M#*b}", "a\nb"),
        ("${NONE#x}${NONE/x/y}", ""),
        ("a<<b", "a<<b"),
    ] {
        assert_eq!(expand(word).as_deref(), Ok(text), "{word}");
    }
}

#[test]
fn what_cannot_be_expanded() {
    for (word, part) in [
        ("he'llo", "single-quote"),
        ("\"hello\\\"", "double-quote"),
        ("${}", "bad substitution"),
        ("${{aaa}", "bad substitution"),
        ("he${.}", "unsupported modifier (.)"),
        ("he${XXX:YYY}", "unsupported modifier (:Y)"),
        ("he${PWD:=000}", "unsupported modifier (:=)"),
        ("he${XXX?}", "XXX: is not allowed to be unset"),
        ("he${XXX:?}", "XXX: is not allowed to be unset"),
        ("he${NULL:?}", "NULL: is not allowed to be empty"),
        ("he${NULL:?must be set}", "must be set"),
        ("he${PWD", "missing '}'"),
        ("${aaa:-bbb", "missing '}'"),
        ("${aaa:-'bbb}", "missing '}'"),
        ("${PWD:#x}", "unsupported modifier (:#)"),
        ("${PWD//x}", "missing '/' in ${}"),
        ("${PWD#\\a}", "invalid escape"),
    ] {
        let error = expand(word).unwrap_err();
        assert!(error.contains(part), "{word}: {error}");
    }
}

#[test]
fn an_other_escape_character() {
    let expand = |word: &str| Lexer::new('`').expand(word, &variables()).unwrap().text;
    assert_eq!(expand("c:\\x"), "c:\\x");
    assert_eq!(expand("`$PWD"), "$PWD");
    assert_eq!(expand("\"a`b``\""), "a`b`");
}

#[test]
fn quotes_in_documents_are_text() {
    let expand = |word: &str| Lexer::document().expand(word, &variables()).unwrap().text;
    assert_eq!(expand("'$PWD' \"$PWD\"\n"), "'/home' \"/home\"\n");
    assert_eq!(expand("\\\\ \\$ \\\n"), "\\ $ \n");
}

#[test]
fn words_and_names() {
    let found = Lexer::new('\\').expand("a $PWD \"b c\"d $NONE $PWD", &variables()).unwrap();
    assert_eq!(found.words, ["a", "/home", "b cd", "/home"]);
    assert_eq!(found.used, ["PWD"]);
    assert_eq!(found.missing, ["NONE"]);
    let found = Lexer::new('\\').expand("8${NONE:-80}1 8\"${NONE:-80}\"", &variables()).unwrap();
    assert_eq!((found.text.as_str(), found.words), ("8801 880", vec!["801".into(), "80".into()]));
    let title = Lexer::title('\\').expand("echo \"$PWD\" $NONE ${NONE:-x}", &variables()).unwrap();
    assert_eq!(title.text, "echo \"/home\" $NONE ${NONE:-x}");
}

#[test]
fn nothing_grows_without_end() {
    let big = "x".repeat(300_000);
    let variables: HashMap<&str, &str> = [("B", big.as_str()), ("S", "s")].into_iter().collect();
    let lexer = Lexer::new('\\');
    assert!(lexer.expand("$B$B$B", &variables).is_ok());
    assert!(lexer.expand("$B$B$B$B", &variables).is_err());
    assert!(lexer.expand("${B//x/$B}", &variables).is_err());
    assert!(lexer.expand(&"${S#".repeat(100_000), &variables).is_err());
    assert!(lexer.expand(&format!("${{B##{}y}}", "*".repeat(2000)), &variables).is_ok());
}

proptest! {
    #[test]
    fn any_text_is_answered(word in "[${}:+?#%/\\\\'\"<aS*\\- \n]{0,60}") {
        for lexer in [Lexer::new('\\'), Lexer::new('`'), Lexer::document(), Lexer::title('\\'), Lexer::heredoc_line()] {
            let _ = lexer.expand(&word, &variables());
        }
    }

    #[test]
    fn a_word_without_signs_stays(word in "[a-z0-9 ./=,:;@é한-]{0,40}") {
        prop_assert_eq!(expand(&word), Ok(word));
    }
}
