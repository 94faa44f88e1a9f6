//! The help texts, word for word, and the reference page that is made of them. After an intended change, run this
//! with `UPDATE_GOLDEN=1` and review the difference.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use strongroom::cli::Strongroom;
use strongroom::cli::oo::Oo;

/// Wide enough for a terminal's default.
const COLUMNS: usize = 100;

/// Every command with its help text, parents first.
fn helps() -> Vec<(String, String)> {
    let mut helps = Vec::new();
    for program in [Strongroom::command(), Oo::command()] {
        let mut program = program.term_width(COLUMNS);
        program.build();
        collect(&mut program, &mut helps);
    }
    helps
}

fn collect(command: &mut Command, helps: &mut Vec<(String, String)>) {
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    let lines: Vec<_> = help.lines().map(str::trim_end).collect();
    helps.push((name, lines.join("\n") + "\n"));
    for child in command
        .get_subcommands_mut()
        .filter(|child| child.get_name() != "help")
    {
        collect(child, helps);
    }
}

fn reference(helps: &[(String, String)]) -> String {
    let mut page = String::from(
        "# Command line reference\n\n\
         One program, two names: called `oo`, it is the command line of the 1Backend dialect; `strongroom names install` \
         makes it callable so.\nThis page is made from the help texts by `apps/strongroom/tests/help.rs`.\n",
    );
    for (name, help) in helps {
        page += &format!("\n## `{name}`\n\n```text\n{help}```\n");
    }
    page
}

fn check(path: &Path, actual: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, actual).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    let difference = actual
        .lines()
        .zip(expected.lines())
        .find(|(actual, expected)| actual != expected);
    assert!(
        actual == expected,
        "{} differs, first in {difference:?}; see the top of this test",
        path.display()
    );
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

#[test]
fn help_texts_are_as_reviewed() {
    let folder = root().join("tests/golden/help");
    let mut files = Vec::new();
    for (name, help) in helps() {
        let file = format!("{}.txt", name.replace(' ', "-"));
        check(&folder.join(&file), &help);
        files.push(file);
    }
    let stray = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(
        stray.filter(|file| !files.contains(file)).collect::<Vec<_>>(),
        [""; 0],
        "no such command"
    );
}

#[test]
fn the_reference_page_is_that_of_the_help_texts() {
    check(&root().join("../../docs/reference/cli.md"), &reference(&helps()));
}

/// That page is written by hand, so that it can say more than the help.
#[test]
fn the_configuration_page_has_every_setting_of_up() {
    let page = fs::read_to_string(root().join("../../docs/reference/configuration.md")).unwrap();
    let up = Strongroom::command().find_subcommand("up").unwrap().clone();
    for setting in up.get_arguments() {
        // What is for one start only has no variable.
        let env = setting
            .get_env()
            .map(|env| format!("| `{}`", env.to_str().unwrap()));
        let (flag, env) = (
            format!("| `--{}", setting.get_long().unwrap()),
            env.unwrap_or_default(),
        );
        let has_both = |line: &&str| line.starts_with(&flag) && line.contains(&env);
        assert_eq!(page.lines().filter(has_both).count(), 1, "{flag} {env}");
    }
}

#[test]
fn the_definitions_are_sound() {
    Strongroom::command().debug_assert();
    Oo::command().debug_assert();
}
