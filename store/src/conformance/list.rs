//! Laws of [`Store::list`]. A store may hold keys of others; of those nothing is said.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use super::Fixture;
use super::case::{Case, LEASE, RETENTION, SLACK, answered, fresh_key, soon};
use crate::{Cursor, ErrorKind, Grant, Key, Listed, Page, Query, Reason, Standing, Store};

/// More pages than any listing of the suite has: one that does not come to its end fails.
const PAGES: usize = 10_000;

impl<F: Fixture> Case<F> {
    async fn page(&self, query: &Query) -> Page {
        let page = answered("list", self.store().list(query, soon()).await);
        assert!(page.entries.len() <= query.limit(), "a page of {} for at most {}", page.entries.len(), query.limit());
        page
    }

    /// All pages of a listing, one after the other.
    async fn listed(&self, standing: Option<Standing>, limit: usize) -> Vec<Listed> {
        let mut query = Query { standing, after: None, limit: NonZeroUsize::new(limit).unwrap_or(NonZeroUsize::MIN) };
        let mut listed = Vec::new();
        for _ in 0..PAGES {
            let page = self.page(&query).await;
            listed.extend(page.entries);
            let Some(next) = page.next else { return listed };
            query.after = Some(next.to_string().parse().expect("a cursor is read as it is printed"));
        }
        panic!("a listing does not come to its end");
    }

    /// How the case's key is listed.
    async fn found(&self, standing: Option<Standing>) -> Option<Listed> {
        self.listed(standing, Query::MAX_LIMIT).await.into_iter().find(|listed| listed.key == self.key)
    }

    /// Uses another key from now on, and claims it.
    async fn start_another(&mut self) -> Grant {
        self.key = fresh_key();
        self.acquire(&self.attempt()).await
    }
}

/// Every key is listed once, whatever the size of the pages, on a store that nobody writes to.
pub async fn list_pages_cover_every_key_once<F: Fixture>() {
    let mut case = Case::<F>::open().await;
    let mut keys = BTreeMap::new();
    for _ in 0..23 {
        case.start_another().await;
        keys.insert(case.key, 0);
    }
    for limit in [1, 5, 23, Query::MAX_LIMIT * 10] {
        let mut seen = keys.clone();
        for listed in case.listed(None, limit).await {
            seen.entry(listed.key).and_modify(|times| *times += 1);
        }
        assert!(seen.values().all(|times| *times == 1), "pages of {limit}: {seen:?}");
    }
}

/// One key for each standing; lapsed is indeterminate.
async fn one_of_each<F: Fixture>(case: &mut Case<F>) -> Vec<(Key, Standing)> {
    let lapsed = case.start_another().await;
    case.lapse().await;
    let mut all = vec![(lapsed.attempt.key, Standing::Indeterminate)];
    for standing in [Standing::InFlight, Standing::Completed, Standing::Indeterminate, Standing::Released] {
        let grant = case.start_another().await;
        match standing {
            Standing::InFlight => {}
            Standing::Completed => drop(case.complete(&grant, "answer").await),
            Standing::Indeterminate => drop(case.abandon(&grant).await),
            Standing::Released => drop(case.release(&grant).await),
        }
        all.push((case.key, standing));
    }
    all
}

/// Asked for one standing, a listing has the keys of that one and no others.
pub async fn list_by_standing<F: Fixture>() {
    let mut case = Case::<F>::open().await;
    let all = one_of_each(&mut case).await;
    let standings = [Standing::InFlight, Standing::Completed, Standing::Indeterminate, Standing::Released];
    for (standing, limit) in standings.into_iter().flat_map(|standing| [(standing, 1), (standing, 100)]) {
        let listed = case.listed(Some(standing), limit).await;
        assert!(listed.iter().all(|listed| listed.standing == standing), "{standing:?} was asked for: {listed:?}");
        for (key, stands) in &all {
            let is_listed = listed.iter().any(|listed| listed.key == *key);
            assert_eq!(is_listed, *stands == standing, "{standing:?} was asked for, and {key:?} is {stands:?}");
        }
    }
}

/// A listed key is what inspection shows, with the length of the answer in the place of its bytes.
pub async fn list_shows_what_stands<F: Fixture>() {
    let mut case = Case::<F>::open().await;
    for (key, standing) in one_of_each(&mut case).await {
        case.key = key;
        let listed = case.found(None).await.expect("the key is there");
        let entry = case.inspect().await.expect("the key is there");
        assert_eq!((listed.standing, listed.fence), (standing, entry.fence()));
        assert_eq!((listed.attempts, listed.reason), (entry.record.attempts, entry.reason()));
        assert_eq!(listed.answer_len, (standing == Standing::Completed).then_some("answer".len()), "{standing:?}");
        assert!(entry.quiet_for().abs_diff(listed.quiet_for) < SLACK, "quiet for {:?}", listed.quiet_for);
        assert!(entry.expires_in().abs_diff(listed.expires_in) < SLACK, "expires in {:?}", listed.expires_in);
    }
    let grant = case.start_another().await;
    case.note(&grant, "half way").await;
    assert_eq!(case.found(None).await.and_then(|listed| listed.answer_len), None, "a checkpoint is no answer");
    case.abandon(&grant).await;
    assert_eq!(case.found(None).await.and_then(|listed| listed.reason), Some(Reason::Panic));
}

/// Listing makes no lease longer and keeps no record alive.
pub async fn list_writes_nothing<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.advance(LEASE - SLACK).await;
    let listed = case.found(None).await.expect("the key is there");
    assert_eq!(listed.standing, Standing::InFlight);
    case.advance(SLACK).await;
    let listed = case.found(None).await.expect("the key is there");
    assert_eq!(listed.standing, Standing::Indeterminate, "a listing has made the lease longer");
    case.assert_holds(&grant, "listed").await;
    case.advance(RETENTION / 2).await;
    case.found(None).await.expect("the key is there");
    case.advance(RETENTION / 2).await;
    assert_eq!(case.found(None).await, None, "what has expired is not listed, and listing keeps nothing alive");
    case.acquire(&case.attempt()).await;
}

/// A cursor that the store has not made is refused, and nothing is guessed.
pub async fn list_refuses_a_foreign_cursor<F: Fixture>() {
    let case = Case::<F>::open().await;
    let query = Query { after: Some(Cursor::from_bytes([1, 2, 3])), ..Query::default() };
    let error = case.store().list(&query, soon()).await.expect_err("no store makes cursors of three bytes");
    assert_eq!(error.kind(), ErrorKind::NotApplied);
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(source.contains("cursor"), "the error says what is wrong: {source}");
}
