use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

fn parse(line: &str) -> Args {
    let words = std::iter::once("storm").chain(line.split_whitespace());
    Command::try_parse_from(words).unwrap().args
}

fn refusal(line: &str) -> String {
    parse(line).check().unwrap_err().to_string()
}

#[test]
fn nothing_given_is_a_whole_storm() {
    let args = parse("");
    args.check().unwrap();
    assert_eq!((args.payments, args.clients), (1_000, 32));
    assert_eq!(args.source(), "card_flaky_10");
}

#[test]
fn percentages_end_at_100() {
    let words = ["storm", "--disconnect", "101"];
    assert!(Command::try_parse_from(words).is_err());
}

#[test]
fn a_running_service_is_not_killed_and_needs_its_bank() {
    assert!(refusal("--url http://127.0.0.1:1").contains("needs --bank"));
    let both = "--url http://127.0.0.1:1 --bank http://127.0.0.1:2";
    parse(both).check().unwrap();
    for option in
        ["--kill-every 3s", "--lease 3s", "--store memory", "--servers 2", "--on-abandoned resolve", "--wait 1s"]
    {
        let said = refusal(&format!("{both} {option}"));
        assert!(said.contains("cannot go with --url"), "{said}");
    }
}

#[test]
fn several_servers_need_a_store_that_they_can_share() {
    for store in ["", "--store memory", "--store embedded:keys"] {
        assert!(refusal(&format!("--servers 2 {store}")).contains("add --store redis://"), "{store}");
    }
    let shared = parse("--servers 2 --store redis://:secret@127.0.0.1:6379 --kill-every 3s");
    shared.check().unwrap();
    assert_eq!(
        shared.own.description(),
        "2 servers on redis://127.0.0.1:6379, lease 3s; on abandoned keys: refuse; no waiting; the bank executes what it gets"
    );
    assert!(Command::try_parse_from(["storm", "--servers", "0"]).is_err());
}

#[test]
fn a_store_that_cannot_survive_a_kill_is_refused() {
    assert!(refusal("--store memory --kill-every 3s").contains("embedded:PATH"));
    assert!(refusal("--kill-every 1ms").contains("at least 100ms"));
    assert!(refusal("--bank http://127.0.0.1:2 --bank-dedup").contains("start that bank with --dedup"));
    assert!(refusal("--patience 0s").contains("longer than 0s"));
}

#[test]
fn a_perfect_bank_takes_an_ordinary_card() {
    assert_eq!(parse("--bank-lost-replies 0").source(), "card_visa");
}
