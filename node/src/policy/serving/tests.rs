use super::super::fields;
use super::*;
use crate::policy::trouble::Trouble;

const NOW: Timestamp = Timestamp(1_795_420_800_000);

/// An answer of this age (seconds) with a lifetime of 100.
fn aged(age: u64) -> Freshness {
    Freshness {
        response_time: NOW,
        corrected_age: Duration::from_secs(age),
        lifetime: Duration::from_secs(100),
        ..Freshness::default()
    }
}

fn window(age: u64) -> Freshness {
    Freshness { stale_while_revalidate: Duration::from_secs(30), ..aged(age) }
}

const FRESH: Serve = Serve::Fresh;
const MEANWHILE: Serve = Serve::Stale(Leave::WhileRevalidate);
const TAKEN: Serve = Serve::Stale(Leave::MaxStale);
const STALE: Serve = Serve::Revalidate(Forward::Stale);
const REQUEST: Serve = Serve::Revalidate(Forward::Request);

#[test]
fn plain_requests() {
    for (rule, freshness, expired, expected) in [
        ("4.2: fresh", aged(99), false, FRESH),
        ("4.2: stale when the age reaches the lifetime", aged(100), false, STALE),
        ("5.2.2.4: no-cache though fresh", Freshness { no_cache: true, ..aged(0) }, false, STALE),
        (
            "5.2.2.2: must-revalidate while fresh",
            Freshness { must_revalidate: true, ..aged(0) },
            false,
            FRESH,
        ),
        ("5861 3: inside the window", window(101), false, MEANWHILE),
        ("5861 3: its last second", window(130), false, MEANWHILE),
        ("5861 3: behind the window", window(131), false, STALE),
        (
            "4.2.4: must-revalidate forbids it",
            Freshness { must_revalidate: true, ..window(101) },
            false,
            STALE,
        ),
        ("4.2.4: no-cache forbids it", Freshness { no_cache: true, ..window(101) }, false, STALE),
        ("ours: a soft purge makes stale", aged(0), true, STALE),
        ("ours: and opens the window", window(0), true, MEANWHILE),
        ("ours: not where stale is forbidden", Freshness { must_revalidate: true, ..window(0) }, true, STALE),
    ] {
        assert_eq!(
            serve(&Config::default(), &HeaderMap::new(), &freshness, expired, NOW),
            expected,
            "{rule}"
        );
    }
}

const CLIENTS: &[(&str, &str, u64, Serve, Serve)] = &[
    // rule, request, age, with `client_directives` only, with `client_staleness` too
    ("5.2.1.4: no-cache", "Cache-Control: no-cache", 0, REQUEST, REQUEST),
    ("5.4: Pragma", "Pragma: no-cache", 0, REQUEST, REQUEST),
    ("5.4: Pragma beside Cache-Control", "Pragma: no-cache|Cache-Control: x", 0, FRESH, FRESH),
    ("5.2.1.1: max-age younger", "Cache-Control: max-age=50", 50, FRESH, FRESH),
    ("5.2.1.1: max-age older", "Cache-Control: max-age=50", 51, REQUEST, REQUEST),
    ("5.2.1.1: max-age=0 is a reload", "Cache-Control: max-age=0", 0, REQUEST, REQUEST),
    ("4.2.1: invalid is 0", "Cache-Control: max-age=x", 0, REQUEST, REQUEST),
    ("5.2.1.5: no-store does not forbid reuse", "Cache-Control: no-store", 0, FRESH, FRESH),
    ("5.2.1.7: only-if-cached", "Cache-Control: only-if-cached", 0, FRESH, FRESH),
    ("5.2.1.3: min-fresh enough", "Cache-Control: min-fresh=50", 50, FRESH, FRESH),
    ("5.2.1.3: min-fresh too little", "Cache-Control: min-fresh=51", 50, FRESH, REQUEST),
    ("5.2.1.2: max-stale within", "Cache-Control: max-stale=10", 110, STALE, TAKEN),
    ("5.2.1.2: max-stale beyond", "Cache-Control: max-stale=10", 111, STALE, STALE),
    ("5.2.1.2: max-stale of any age", "Cache-Control: max-stale", 999_999, STALE, TAKEN),
    ("5.2.1.1: max-age and max-stale", "Cache-Control: max-age=50, max-stale=90", 110, REQUEST, REQUEST),
    ("5.2.3: unknown", "Cache-Control: nothing-to-see-here|Pragma: foo", 0, FRESH, FRESH),
];

#[test]
fn clients_with_wishes() {
    let plain = Config::default();
    let lax = Config { client_staleness: true, ..Config::default() };
    let deaf = Config { client_directives: false, ..Config::default() };
    for (rule, lines, age, expected, lax_expected) in CLIENTS {
        let request = fields(lines);
        assert_eq!(serve(&plain, &request, &aged(*age), false, NOW), *expected, "{rule}: {lines}");
        assert_eq!(serve(&lax, &request, &aged(*age), false, NOW), *lax_expected, "{rule}, lax: {lines}");
        let unheard = if *age < 100 { FRESH } else { STALE };
        assert_eq!(serve(&deaf, &request, &aged(*age), false, NOW), unheard, "{rule}, deaf: {lines}");
    }
}

#[test]
fn what_forbids_stale_outranks_max_stale() {
    let lax = Config { client_staleness: true, ..Config::default() };
    let request = fields("Cache-Control: max-stale");
    for (rule, freshness, expired) in [
        ("5.2.2.2: must-revalidate", Freshness { must_revalidate: true, ..aged(101) }, false),
        ("5.2.2.4: no-cache", Freshness { no_cache: true, ..aged(0) }, false),
        ("ours: a soft purge", aged(101), true),
    ] {
        assert_eq!(serve(&lax, &request, &freshness, expired, NOW), STALE, "{rule}");
    }
}

#[test]
fn immutable_answers_are_not_asked_for_again() {
    let fixed = |age| Freshness { immutable: true, ..aged(age) };
    for (rule, lines, age, expected) in [
        ("8246 2: a reload", "Cache-Control: max-age=0", 50, FRESH),
        ("8246 2: unless the client insists", "Cache-Control: no-cache", 50, REQUEST),
        ("8246 2: only while fresh", "Cache-Control: max-age=0", 100, REQUEST),
        ("8246 2: only while fresh", "", 100, STALE),
    ] {
        assert_eq!(serve(&Config::default(), &fields(lines), &fixed(age), false, NOW), expected, "{rule}");
    }
}

#[test]
fn instead_of_an_error() {
    let sie = |age| Freshness { stale_if_error: Duration::from_secs(60), ..aged(age) };
    for (rule, freshness, expired, on_error, unreachable) in [
        ("still fresh", aged(99), false, true, true),
        ("5861 4: no leave", aged(101), false, false, true),
        ("5861 4: inside", sie(160), false, true, true),
        ("5861 4: behind", sie(161), false, false, true),
        ("4.2.4: disconnected, up to the site's limit", aged(100 + 86_400), false, false, true),
        ("4.2.4: disconnected, beyond it", aged(101 + 86_400), false, false, false),
        ("4.2.4: must-revalidate", Freshness { must_revalidate: true, ..sie(101) }, false, false, false),
        (
            "5.2.2.2: must-revalidate while fresh",
            Freshness { must_revalidate: true, ..sie(99) },
            false,
            true,
            true,
        ),
        ("4.2.4: no-cache", Freshness { no_cache: true, ..sie(0) }, false, false, false),
        ("ours: soft-purged", sie(0), true, true, true),
        ("ours: soft-purged, no leave", aged(0), true, false, true),
        ("ours: soft-purged, forbidden", Freshness { must_revalidate: true, ..sie(0) }, true, false, false),
    ] {
        let (config, none) = (Config::default(), HeaderMap::new());
        assert_eq!(may_serve_on_error(&config, &none, &freshness, expired, NOW), on_error, "{rule}");
        let refused = may_serve_after(Kind::ConnectRefused, &config, &none, &freshness, expired, NOW);
        assert_eq!(refused, unreachable, "{rule}");
    }
}

#[test]
fn what_kind_of_failure_allows_what() {
    let (config, none) = (Config::default(), HeaderMap::new());
    let may = |kind, freshness| may_serve_after(kind, &config, &none, &freshness, false, NOW);
    for kind in Kind::ALL {
        let (on_error, unreachable, rule) = match kind {
            Kind::NoEndpoint
            | Kind::Dns
            | Kind::ConnectRefused
            | Kind::ConnectTimeout
            | Kind::Tls
            | Kind::TlsCertificate
            | Kind::ClosedEarly
            | Kind::FirstByteTimeout
            | Kind::WaitTimeout => (true, true, "9111 4.2.4: disconnected, no answer came"),
            Kind::ErrorStatus | Kind::BadAnswer | Kind::BodyCut | Kind::FlightFailed => {
                (true, false, "5861 4: an answer came and was an error, or the node failed")
            }
            Kind::Loop | Kind::RequestBody | Kind::RequestTooLarge => (false, false, "the request is wrong"),
        };
        let leave = Freshness { stale_if_error: Duration::from_secs(60), ..aged(101) };
        assert_eq!(may(kind, leave), on_error, "{rule}: {kind:?}");
        assert_eq!(may(kind, aged(101)), unreachable, "{rule}: {kind:?}");
        assert!(!may(kind, Freshness { must_revalidate: true, ..leave }), "9111 4.2.4: {kind:?}");
    }
}

#[test]
fn a_clients_stale_if_error_counts_where_the_site_lets_it() {
    let request = fields("Cache-Control: stale-if-error=60, no-cache");
    let lax = Config { client_staleness: true, ..Config::default() };
    assert!(may_serve_on_error(&lax, &request, &aged(160), false, NOW), "5861 4");
    assert!(!may_serve_on_error(&lax, &request, &aged(161), false, NOW), "5861 4");
    assert!(!may_serve_on_error(&Config::default(), &request, &aged(160), false, NOW));
}

#[test]
fn what_the_site_calls_an_error() {
    let mut only = Trouble::none();
    assert!(only.add("timeout"));
    let config =
        Config { stale_if_error_on: only, stale_if_unreachable: Duration::ZERO, ..Config::default() };
    let leave = Freshness { stale_if_error: Duration::from_secs(60), ..aged(101) };
    for (kind, expected) in [
        (Kind::FirstByteTimeout, true),
        (Kind::ConnectRefused, false),
        (Kind::BadAnswer, false),
        (Kind::ClosedEarly, false),
    ] {
        let none = HeaderMap::new();
        assert_eq!(may_serve_after(kind, &config, &none, &leave, false, NOW), expected, "5861 4: {kind:?}");
    }
}

#[test]
fn an_origin_that_is_down() {
    let config = Config { serve_stored_if_down: true, ..Config::default() };
    let (down, none) = (Kind::ConnectRefused, HeaderMap::new());
    let years = aged(999_999_999);
    for (rule, kind, freshness, expired, expected) in [
        ("ours: however stale", down, years, false, true),
        ("ours: must-revalidate, s-maxage", down, Freshness { must_revalidate: true, ..years }, false, true),
        ("ours: softly purged", down, years, true, true),
        ("5.2.2.4: never with no-cache", down, Freshness { no_cache: true, ..years }, false, false),
        (
            "nor what was never fresh and must be asked about",
            down,
            Freshness { must_revalidate: true, lifetime: Duration::ZERO, ..years },
            false,
            false,
        ),
        ("an error is an answer", Kind::ErrorStatus, years, false, false),
        ("so is a broken one", Kind::BadAnswer, years, false, false),
    ] {
        assert_eq!(may_serve_after(kind, &config, &none, &freshness, expired, NOW), expected, "{rule}");
        assert!(is_kept(&config, &freshness, NOW), "{rule}");
    }
}

#[test]
fn how_long_an_answer_is_kept() {
    let day = Duration::from_secs(86_400);
    let config = Config { keep: 2 * day, ..Config::default() };
    for (rule, age, stale_if_error, expected) in [
        ("fresh", 99, Duration::ZERO, true),
        ("up to keep after its lifetime", 100 + 2 * 86_400, Duration::ZERO, true),
        ("no longer", 101 + 2 * 86_400, Duration::ZERO, false),
        ("5861 4: but for as long as it may be needed", 101 + 2 * 86_400, 3 * day, true),
    ] {
        let freshness = Freshness { stale_if_error, ..aged(age) };
        assert_eq!(is_kept(&config, &freshness, NOW), expected, "{rule}");
    }
    let short = Config { keep: Duration::ZERO, ..Config::default() };
    assert!(is_kept(&short, &aged(100 + 86_400), NOW), "4.2.4: while the origin may be unreachable");
    assert!(!is_kept(&short, &aged(101 + 86_400), NOW));
}

#[test]
fn no_transform_counts_where_clients_do() {
    let request = fields("Cache-Control: max-stale, No-Transform");
    assert!(no_transform(&Config::default(), &request), "5.2.1.6");
    assert!(!no_transform(&Config::default(), &fields("Cache-Control: no-cache")));
    assert!(!no_transform(&Config { client_directives: false, ..Config::default() }, &request));
}

#[test]
fn only_if_cached_counts_where_clients_do() {
    let request = fields("Cache-Control: Only-If-Cached");
    assert!(only_if_cached(&Config::default(), &request), "5.2.1.7");
    assert!(!only_if_cached(&Config::default(), &HeaderMap::new()));
    for client_staleness in [false, true] {
        let deaf = Config { client_directives: false, client_staleness, ..Config::default() };
        assert!(!only_if_cached(&deaf, &request));
    }
}
