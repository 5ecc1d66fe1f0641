//! The rules: BuildKit's, by its names and in its words, and one of our own.

/// A rule.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// What directives call it: `StageNameCasing`.
    pub name: &'static str,
    /// What it is about.
    pub description: &'static str,
    /// Whether it is off until a directive asks for it.
    pub experimental: bool,
    /// Its page in docker's documentation, where it has one.
    page: Option<&'static str>,
}

impl Rule {
    /// Where it is explained.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        self.page.map(|page| format!("https://docs.docker.com/go/dockerfile/rule/{page}/"))
    }
}

const fn rule(name: &'static str, page: &'static str, description: &'static str) -> Rule {
    Rule { name, description, experimental: false, page: Some(page) }
}

pub(super) static STAGE_NAME_CASING: Rule =
    rule("StageNameCasing", "stage-name-casing", "Stage names should be lowercase");
pub(super) static FROM_AS_CASING: Rule =
    rule("FromAsCasing", "from-as-casing", "The 'as' keyword should match the case of the 'from' keyword");
pub(super) static NO_EMPTY_CONTINUATION: Rule = rule(
    "NoEmptyContinuation",
    "no-empty-continuation",
    "Empty continuation lines will become errors in a future release",
);
pub(super) static CONSISTENT_INSTRUCTION_CASING: Rule = rule(
    "ConsistentInstructionCasing",
    "consistent-instruction-casing",
    "All commands within the Dockerfile should use the same casing (either upper or lower)",
);
pub(super) static DUPLICATE_STAGE_NAME: Rule =
    rule("DuplicateStageName", "duplicate-stage-name", "Stage names should be unique");
pub(super) static RESERVED_STAGE_NAME: Rule =
    rule("ReservedStageName", "reserved-stage-name", "Reserved words should not be used as stage names");
pub(super) static JSON_ARGS_RECOMMENDED: Rule = rule(
    "JSONArgsRecommended",
    "json-args-recommended",
    "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
);
pub(super) static MAINTAINER_DEPRECATED: Rule = rule(
    "MaintainerDeprecated",
    "maintainer-deprecated",
    "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
);
pub(super) static UNDEFINED_ARG_IN_FROM: Rule =
    rule("UndefinedArgInFrom", "undefined-arg-in-from", "FROM command must use declared ARGs");
pub(super) static WORKDIR_RELATIVE_PATH: Rule = rule(
    "WorkdirRelativePath",
    "workdir-relative-path",
    "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image \
     changes",
);
pub(super) static UNDEFINED_VAR: Rule =
    rule("UndefinedVar", "undefined-var", "Variables should be defined before their use");
pub(super) static MULTIPLE_INSTRUCTIONS_DISALLOWED: Rule = rule(
    "MultipleInstructionsDisallowed",
    "multiple-instructions-disallowed",
    "Multiple instructions of the same type should not be used in the same stage",
);
pub(super) static LEGACY_KEY_VALUE_FORMAT: Rule = rule(
    "LegacyKeyValueFormat",
    "legacy-key-value-format",
    "Legacy key/value format with whitespace separator should not be used",
);
pub(super) static INVALID_BASE_IMAGE_PLATFORM: Rule = Rule {
    page: None,
    ..rule("InvalidBaseImagePlatform", "", "Base image platform does not match expected target platform")
};
pub(super) static REDUNDANT_TARGET_PLATFORM: Rule = rule(
    "RedundantTargetPlatform",
    "redundant-target-platform",
    "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
);
pub(super) static SECRETS_USED_IN_ARG_OR_ENV: Rule = rule(
    "SecretsUsedInArgOrEnv",
    "secrets-used-in-arg-or-env",
    "Sensitive data should not be used in the ARG or ENV commands",
);
pub(super) static INVALID_DEFAULT_ARG_IN_FROM: Rule = rule(
    "InvalidDefaultArgInFrom",
    "invalid-default-arg-in-from",
    "Default value for global ARG results in an empty or invalid base image name",
);
pub(super) static FROM_PLATFORM_FLAG_CONST_DISALLOWED: Rule = rule(
    "FromPlatformFlagConstDisallowed",
    "from-platform-flag-const-disallowed",
    "FROM --platform flag should not use a constant value",
);
pub(super) static COPY_IGNORED_FILE: Rule =
    rule("CopyIgnoredFile", "copy-ignored-file", "Attempting to Copy file that is excluded by .dockerignore");
pub(super) static INVALID_DEFINITION_DESCRIPTION: Rule = Rule {
    experimental: true,
    ..rule(
        "InvalidDefinitionDescription",
        "invalid-definition-description",
        "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not \
         intended to be a description comment, add an empty line or comment between the instruction and the comment.",
    )
};
pub(super) static EXPOSE_PROTO_CASING: Rule =
    rule("ExposeProtoCasing", "expose-proto-casing", "Protocol in EXPOSE instruction should be lowercase");
pub(super) static EXPOSE_INVALID_FORMAT: Rule = rule(
    "ExposeInvalidFormat",
    "expose-invalid-format",
    "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future \
     release",
);
/// Ours: other builders give these ARGs no value, and do not say so.
pub(super) static UNPORTABLE_ARG: Rule =
    Rule { page: None, ..rule("UnportableArg", "", "ARGs that only archipel sets have no value with other builders") };

/// All of them, in the order of docker's documentation; ours is the last.
pub static RULES: [&Rule; 23] = [
    &STAGE_NAME_CASING,
    &FROM_AS_CASING,
    &NO_EMPTY_CONTINUATION,
    &CONSISTENT_INSTRUCTION_CASING,
    &DUPLICATE_STAGE_NAME,
    &RESERVED_STAGE_NAME,
    &JSON_ARGS_RECOMMENDED,
    &MAINTAINER_DEPRECATED,
    &UNDEFINED_ARG_IN_FROM,
    &WORKDIR_RELATIVE_PATH,
    &UNDEFINED_VAR,
    &MULTIPLE_INSTRUCTIONS_DISALLOWED,
    &LEGACY_KEY_VALUE_FORMAT,
    &INVALID_BASE_IMAGE_PLATFORM,
    &REDUNDANT_TARGET_PLATFORM,
    &SECRETS_USED_IN_ARG_OR_ENV,
    &INVALID_DEFAULT_ARG_IN_FROM,
    &FROM_PLATFORM_FLAG_CONST_DISALLOWED,
    &COPY_IGNORED_FILE,
    &INVALID_DEFINITION_DESCRIPTION,
    &EXPOSE_PROTO_CASING,
    &EXPOSE_INVALID_FORMAT,
    &UNPORTABLE_ARG,
];
