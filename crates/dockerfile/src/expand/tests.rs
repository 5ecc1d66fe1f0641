use archipel_oci::Platform;

use crate::{Command, Mount, Scope, Sharing, Step, automatic_args, parse};

fn steps_of(text: &str, build_args: &[(&str, &str)]) -> Result<Vec<Step>, String> {
    let parsed = parse(text);
    assert!(parsed.is_ok(), "{:?}", parsed.diagnostics);
    let host = Platform::new("linux", "amd64", None);
    let target = Platform::new("linux", "arm64", None);
    let args: Vec<(String, String)> = build_args.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
    let globals = parsed.dockerfile.globals(automatic_args(&host, &target, None), &args).map_err(|e| e.message)?;
    let mut scope = Scope::new(&globals, &["PATH=/bin".into(), "BASE=b".into()], "/w", None);
    let stage = parsed.dockerfile.stages.last().unwrap();
    stage.instructions.iter().map(|i| scope.step(i).map_err(|e| e.message)).collect()
}

fn histories(text: &str, build_args: &[(&str, &str)]) -> Vec<String> {
    steps_of(text, build_args).unwrap().iter().filter_map(Step::history).collect()
}

#[test]
fn scopes_of_arguments() {
    let text = "ARG A=global B=b\nFROM x\nLABEL a=[$A]\nARG A B=own C\nLABEL a=$A b=$B c=[$C] t=$TARGETARCH\nARG TARGETARCH\n\
                LABEL t=$TARGETARCH\nENV C=env\nARG C=arg\nLABEL c=$C base=$BASE";
    assert_eq!(
        histories(text, &[("B", "given"), ("C", "")]),
        [
            "LABEL a=[]",
            "ARG A=global B=given C=",
            "LABEL a=global b=given c=[] t=",
            "ARG TARGETARCH=arm64",
            "LABEL t=arm64",
            "ENV C=env",
            "ARG C=",
            "LABEL c= base=b",
        ]
    );
}

#[test]
fn one_value_for_an_instruction() {
    assert_eq!(
        histories("FROM x\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc", &[]),
        ["ENV abc=hello", "ENV abc=bye def=hello", "ENV ghi=bye"]
    );
}

#[test]
fn histories_read_as_docker_s() {
    let text = "FROM x\nARG P=1\nRUN echo hi\nRUN [\"a\", \"b c\"]\nWORKDIR sub\nCOPY --chown=1:2 a b ./\nCMD echo \"x\"\n\
                ENTRYPOINT [\"e\"]\nEXPOSE 80 90-91/udp\nVOLUME /v /w\nHEALTHCHECK --interval=30s --retries=3 CMD true\n\
                SHELL [\"/bin/bash\", \"-c\"]\nRUN x\nMAINTAINER me\nONBUILD RUN y\nCOPY <<F /f\n$P\nF\n";
    assert_eq!(
        histories(text, &[]),
        [
            "ARG P=1",
            "RUN |1 P=1 /bin/sh -c echo hi # buildkit",
            "RUN |1 P=1 a b c # buildkit",
            "WORKDIR /w/sub",
            "COPY --chown=1:2 a b ./ # buildkit",
            "CMD [\"/bin/sh\" \"-c\" \"echo \\\"x\\\"\"]",
            "ENTRYPOINT [\"e\"]",
            "EXPOSE [80/tcp 90/udp 91/udp]",
            "VOLUME [/v /w]",
            "HEALTHCHECK {Test:[CMD-SHELL true] Interval:30s Timeout:0s StartPeriod:0s StartInterval:0s Retries:3}",
            "SHELL [/bin/bash -c]",
            "RUN |1 P=1 /bin/bash -c x # buildkit",
            "MAINTAINER me",
            "COPY <<F /f # buildkit",
        ]
    );
}

#[test]
fn destinations_are_absolute() {
    for (dest, whole) in [(".", "/w/"), ("./", "/w/"), ("a", "/w/a"), ("/a/", "/a/"), ("/", "/"), ("..", "/")] {
        let steps = steps_of(&format!("FROM x\nCOPY f {dest}"), &[]).unwrap();
        let Step::Copy(copy) = &steps[0] else { panic!() };
        assert_eq!(copy.dest, whole, "{dest}");
    }
}

#[test]
fn commands_and_documents() {
    let run = |text: &str| match steps_of(&format!("FROM x\n{text}"), &[]).unwrap().pop() {
        Some(Step::Run(run)) => *run,
        _ => panic!(),
    };
    assert_eq!(run("RUN <<E\na\nb\nE").argv, ["/bin/sh", "-c", "a\nb\n"]);
    assert_eq!(run("RUN cat <<E | tr a b\na\nE").argv, ["/bin/sh", "-c", "cat <<E | tr a b\na\nE"]);
    let script = run("RUN <<E\n#!/usr/bin/python3\nprint()\nE");
    assert_eq!(script.argv, ["/bin/sh", "-c", "/dev/pipes/E"]);
    assert_eq!(script.script.as_ref().unwrap().content, "#!/usr/bin/python3\nprint()\n");
    assert_eq!(run("RUN [\"ls\"]").command, Command::Exec(vec!["ls".into()]));
    assert_eq!(
        histories("FROM x\nCMD\nENTRYPOINT\nCMD []\nENTRYPOINT []", &[]),
        ["CMD [\"/bin/sh\" \"-c\" \"\"]", "ENTRYPOINT [\"/bin/sh\" \"-c\" \"\"]", "CMD []", "ENTRYPOINT []"]
    );
}

#[test]
fn args_for_the_builder_are_no_variables() {
    let text = "FROM x\nARG BUILDKIT_SBOM_SCAN_STAGE=true\nRUN echo ${BUILDKIT_SBOM_SCAN_STAGE}\nLABEL a=$BUILDKIT_SBOM_SCAN_STAGE";
    assert_eq!(
        histories(text, &[]),
        [
            "ARG BUILDKIT_SBOM_SCAN_STAGE=true",
            "RUN |1 BUILDKIT_SBOM_SCAN_STAGE=true /bin/sh -c echo ${BUILDKIT_SBOM_SCAN_STAGE} # buildkit",
            "LABEL a=",
        ]
    );
}

#[test]
fn the_stage_that_is_built_has_a_name() {
    for (text, stage) in
        [("FROM x AS a\nFROM x\nARG TARGETSTAGE", "default"), ("FROM x\nFROM x AS Last\nARG TARGETSTAGE", "last")]
    {
        assert_eq!(histories(text, &[]), [format!("ARG TARGETSTAGE={stage}")], "{text}");
    }
    assert_eq!(histories("FROM x AS a\nARG TARGETSTAGE", &[("TARGETSTAGE", "b")]), ["ARG TARGETSTAGE=b"]);
}

#[test]
fn proxies_are_not_seen() {
    let text = "FROM x\nRUN a\nARG HTTP_PROXY\nRUN b";
    let steps = steps_of(text, &[("HTTP_PROXY", "http://secret@p")]).unwrap();
    let (Step::Run(first), Step::Run(last)) = (&steps[0], &steps[2]) else { panic!() };
    assert_eq!(first.hidden_env.len(), 2);
    let both = [("no_proxy", "l"), ("NO_PROXY", "u"), ("ftp_proxy", "")];
    let Step::Run(both) = steps_of("FROM x\nRUN a", &both).unwrap().remove(0) else { panic!() };
    assert_eq!(both.hidden_env, [("NO_PROXY".into(), "l".into()), ("no_proxy".into(), "l".into())]);
    assert!(!first.env.iter().any(|(name, _)| name.eq_ignore_ascii_case("http_proxy")));
    assert!(last.env.iter().any(|(name, _)| name == "HTTP_PROXY"));
}

#[test]
fn what_mounts_mean() {
    let mounts = |flags: &str| match steps_of(&format!("FROM x\nARG T=/t\nRUN {flags} true"), &[]).map(|mut s| s.pop())
    {
        Ok(Some(Step::Run(run))) => Ok(run.mounts),
        Ok(_) => panic!(),
        Err(e) => Err(e),
    };
    let Mount::Cache(cache) = mounts("--mount=type=Cache,target=$T,sharing=LOCKED,uid=7").unwrap().remove(0) else {
        panic!()
    };
    assert_eq!(
        (cache.id.as_str(), cache.target.as_str(), cache.sharing, cache.uid),
        ("/t", "/t", Sharing::Locked, Some(7))
    );
    let Mount::Bind(bind) = mounts("--mount=target=sub,source=../a,rw").unwrap().remove(0) else { panic!() };
    assert_eq!((bind.source.as_str(), bind.target.as_str(), bind.writable), ("/a", "/w/sub", true));
    let Mount::Secret(secret) = mounts("--mount=type=secret,id=k").unwrap().remove(0) else { panic!() };
    assert_eq!((secret.target.as_deref(), secret.required), (Some("/run/secrets/k"), false));
    let Mount::Secret(secret) = mounts("--mount=type=secret,id=k,env=K,required").unwrap().remove(0) else { panic!() };
    assert_eq!((secret.target, secret.required), (None, true));
    for (flag, id) in [("id=,source=s", "s"), ("source=,id=i", "i"), ("target=/a/t", "t")] {
        let Mount::Secret(secret) = mounts(&format!("--mount=type=secret,{flag}")).unwrap().remove(0) else { panic!() };
        assert_eq!(secret.id, id, "{flag}");
    }
    for (flag, part) in [
        ("type=cach,target=/a", "unsupported mount type \"cach\" (did you mean cache?)"),
        ("typ=cache,target=/a", "unexpected key 'typ' in 'typ=cache' (did you mean type?)"),
        ("type=cache,target=/a,mode=9", "invalid value 9 for mode"),
        ("type=cache,target=/a,gid=+1", "invalid value +1 for gid"),
        ("type=cache,target=/", "invalid mount target \"/\""),
        ("type=ssh,source=x", "ssh does not support source"),
        ("type=cache,target=/a,sharing=x", "unsupported sharing"),
        ("type=bind,target=/a,uid=1", "not allowed"),
        ("type=tmpfs,target=/a,size=x", "invalid value for size"),
        ("type=secret", "one of source, target required"),
        ("type=bind,target=/a,tarjet=/b", "unexpected key 'tarjet'"),
        ("type=bind,target", "must be a key=value pair"),
        ("type=bind,target=/a,required", "unexpected key 'required'"),
    ] {
        let error = mounts(&format!("--mount={flag}")).unwrap_err();
        assert!(error.contains(part), "{flag}: {error}");
    }
}

#[test]
fn what_is_wrong_with_values() {
    for (text, part) in [
        ("EXPOSE 80/bogus", "invalid port: \"80/bogus\": invalid proto: bogus"),
        ("EXPOSE 99999", "invalid containerPort: 99999"),
        ("EXPOSE 9-8", "invalid containerPort: 9-8"),
        ("EXPOSE 0.0.0.0:1234-1235:/tcp", "invalid port: \"0.0.0.0:1234-1235:/tcp\": no port specified"),
        ("EXPOSE localhost:1234:1234/tcp", "invalid IP address: localhost"),
        ("EXPOSE [::1:80:80", "invalid IP address: [::1"),
        ("EXPOSE a:80", "invalid hostPort: a"),
        ("EXPOSE 1-3:8-9", "invalid ranges specified for container and host Ports: 8-9 and 1-3"),
        ("STOPSIGNAL SIGNOT", "invalid signal: SIGNOT"),
        ("COPY --chmod=999 a b", "invalid chmod"),
        ("ADD --checksum=sha256:x http://h/a b", "invalid checksum digest length"),
        ("ADD --checksum=sha256: http://h/a b", "invalid checksum digest format"),
        ("ADD --checksum=sha384:x http://h/a b", "invalid checksum digest length"),
        ("ADD --checksum=md5:x http://h/a b", "unsupported digest algorithm"),
        ("ADD --checksum=sha256:x a b", "requires HTTP(S) or Git"),
        ("ADD --checksum=xyz https://h/a.git b", "invalid checksum xyz for Git URL, expected hex commit hash"),
        ("ADD --checksum=abc https://h/a.git?checksum=abd b", "checksum mismatch \"abc\" != \"abd\""),
        ("ADD --keep-git-dir https://h/a.git?keep-git-dir=false b", "inconsistent keep-git-dir configuration"),
        ("COPY http://h/a b", "source can't be a URL for COPY"),
        ("COPY --exclude=a --exclude=[b c d", "invalid exclude pattern \"[b\": syntax error in pattern"),
        ("COPY [ /a/", "invalid source \"[\": syntax error in pattern"),
        ("COPY v[ /a/", "invalid source \"v[\": syntax error in pattern"),
        ("ADD a [b* /a/", "invalid source \"[b*\": syntax error in pattern"),
        ("COPY --exclude=! c d", "invalid exclude pattern \"!\""),
        ("COPY https://h/a.git b", "source can't be a git ref for COPY"),
        ("LABEL a=${B:?needed}", "needed"),
    ] {
        let error = steps_of(&format!("FROM x\n{text}"), &[]).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
    for good in ["COPY \\\\[ /", "ADD --checksum= http://h/[ /a"] {
        assert!(steps_of(&format!("FROM x\n{good}"), &[]).is_ok(), "{good}");
    }
    for good in ["SIGTERM", "term", "9", "300", "RTMIN", "RTMIN+15", "SIGRTMAX-14"] {
        assert!(steps_of(&format!("FROM x\nSTOPSIGNAL {good}"), &[]).is_ok(), "{good}");
    }
    for bad in ["0", "RTMIN+16", "RTMIN+0", "RTMAX-15", "SIG"] {
        assert!(steps_of(&format!("FROM x\nSTOPSIGNAL {bad}"), &[]).is_err(), "{bad}");
    }
}

#[test]
fn ports() {
    for (words, ports) in [
        ("0.0.0.0:1234-1235:3333-3334/tcp", "3333/tcp 3334/tcp"),
        ("[2001:4860:0:2001::68]::333", "333/tcp"),
        ("[::1]:80:80", "80/tcp"),
        ("2001:4860:0:2001::68::333", "333/tcp"),
        ("::::80", "80/tcp"),
        ("8000-9000:80/SCTP", "80/sctp"),
        (":80 ::81", "80/tcp 81/tcp"),
        ("7-7", "7/tcp"),
        ("5 4-6 6/TCP 6/udp", "4/tcp 5/tcp 6/tcp 6/udp"),
        ("$PORTS", "1/tcp 2/udp"),
    ] {
        let found = histories(&format!("FROM x\nENV PORTS=\"1 2/udp\"\nEXPOSE {words}"), &[]);
        assert_eq!(found.last(), Some(&format!("EXPOSE [{ports}]")), "{words}");
    }
}
