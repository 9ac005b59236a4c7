use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// The least that a node needs, with a directory so that the defaults of the disk count.
const LEAST: &str = r#"
[node]
name = "edge-1"
[cache]
directory = "cache"
[[listener]]
address = "127.0.0.1:8080"
[[site]]
hosts = ["www.example.com"]
[site.origin]
endpoints = ["http://127.0.0.1:9000"]
"#;

fn with_least(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(LEAST.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from:?} is not in\n{text}");
        text.replace(from, to)
    })
}

fn load_text(text: &str) -> Result<Loaded, Mistakes> {
    parse(Path::new("edge.toml"), text)
}

/// `LINE path` of each mistake.
fn mistakes(text: &str) -> Vec<String> {
    let found = load_text(text).expect_err("nothing was found wrong").0;
    assert!(found.iter().all(|mistake| !mistake.what.is_empty()), "{found:?}");
    let line = |mistake: &Mistake| mistake.place.map_or(0, |place| place.line);
    found.iter().map(|mistake| format!("{} {}", line(mistake), mistake.path)).collect()
}

fn the_mistake(text: &str) -> Mistake {
    let mut found = load_text(text).expect_err("nothing was found wrong").0;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// A directory with `cert.pem`, `key.pem`, another `key2.pem` and `admin.token`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(
        ["www.example.com", "example.com", "*.assets.example.com"].map(str::to_owned),
    )
    .unwrap();
    let other = rcgen::KeyPair::generate().unwrap();
    for (name, text) in [
        ("cert.pem", pair.cert.pem()),
        ("key.pem", pair.signing_key.serialize_pem()),
        ("key2.pem", other.serialize_pem()),
        ("admin.token", "0123456789abcdef0123\n".to_owned()),
        ("cms.token", "cms-0123456789abcdef\n".to_owned()),
        ("fleet.token", "fleet-0123456789abcdef\n".to_owned()),
    ] {
        put(&folder, name, &text);
    }
    folder
}

#[expect(clippy::disallowed_methods, reason = "a test prepares its files before anything runs")]
fn put(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let file = folder.path().join(name);
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

const WITH_FILES: &str = r#"
[node]
name = "edge-1"
[cache]
disk = "0"
[[listener]]
address = "127.0.0.1:8443"
tls = true
[[certificate]]
cert = "cert.pem"
key = "key.pem"
[admin]
address = "127.0.0.1:9901"
token_file = "admin.token"
[[site]]
hosts = ["*"]
[site.origin]
endpoints = ["https://127.0.0.1:9000"]
ca_file = "cert.pem"
"#;

#[test]
fn the_least_gets_all_defaults() {
    let node = load_text(LEAST).unwrap().node;
    assert_eq!((node.name.as_str(), node.sites[0].name.as_str()), ("edge-1", "www.example.com"));
    assert_eq!((node.cache.memory, node.cache.disk), (256 << 20, 10 << 30));
    assert_eq!((node.cache.object_max, node.cache.memory_object_max), (10 << 28, 8 << 20));
    assert_eq!(node.limits, listener::Limits::default());
    assert_eq!(node.sites[0].policy, crate::policy::Config::default());
    assert_eq!(node.sites[0].compress, crate::transform::compress::Config::default());
    let endpoint = crate::origin::Endpoint { tls: false, host: "127.0.0.1".into(), port: 9000 };
    let origin = crate::origin::Config { endpoints: vec![endpoint], ..Default::default() };
    assert_eq!(node.sites[0].origin, origin);
    assert!(node.workers >= 1 && node.admin.is_none());
}

#[test]
fn what_a_site_says_about_cookies_and_targets() {
    let text = format!("{LEAST}[site.cache]\nset_cookie = \"strip\"\ntargets = [\"My-Cache-Control\"]\n");
    let policy = load_text(&text).unwrap().node.sites.remove(0).policy;
    assert_eq!(policy.set_cookie, crate::policy::SetCookie::Strip);
    assert_eq!(policy.targets, ["my-cache-control"]);
    let text = format!("{LEAST}[site.cache]\nset_cookie = \"eat\"\n");
    assert_eq!(the_mistake(&text).path, "site[0].cache.set_cookie");
    let text = format!("{LEAST}[site.cache]\ntargets = [\"a b\", \"cache-control\", \"ok\"]\n");
    let wrong: Vec<_> = load_text(&text).unwrap_err().0.into_iter().map(|mistake| mistake.path).collect();
    assert_eq!(wrong, ["site[0].cache.targets[0]", "site[0].cache.targets[1]"]);
}

#[test]
fn a_default_in_a_description_is_the_default() {
    let root = schema::of::<file::File>();
    let plain = load_text(LEAST).unwrap().node;
    let mut seen = 0;
    for (header, definition) in [
        ("[cache]", "Cache"),
        ("[[listener]]", "Listener"),
        ("[limits]", "Limits"),
        ("[log]", "Log"),
        ("[[site]]", "Site"),
        ("[site.origin]", "Origin"),
        ("[site.cache]", "SiteCache"),
        ("[site.compression]", "Compression"),
    ] {
        for (key, property) in root["$defs"][definition]["properties"].as_object().unwrap() {
            let described = property["description"].as_str().unwrap();
            let Some((_, rest)) = described.split_once("Default: `") else { continue };
            let default = rest.split('`').next().unwrap();
            let bare = default.parse::<u64>().is_ok() || matches!(default, "true" | "false");
            let line = if bare { format!("{key} = {default}") } else { format!("{key} = {default:?}") };
            let text = match LEAST.contains(header) {
                true => LEAST.replace(header, &format!("{header}\n{line}")),
                false => format!("{LEAST}{header}\n{line}\n"),
            };
            assert_eq!(load_text(&text).map(|loaded| loaded.node).as_ref(), Ok(&plain), "{header} {line}");
            seen += 1;
        }
    }
    assert!(seen > 25, "only {seen} defaults are described");
}

#[test]
fn everything_wrong_is_told_at_once_with_its_place() {
    let text = r#"
nodes = 1
[node]
name = "edge 1"
worker = 2
[cache]
memory = "10GB"
disk = "1GiB"
[[listener]]
address = ":8080"
[[listener]]
address = "127.0.0.1:80"
tls = "yes"
[limits]
idle_timeout = "10"
connections_max = 0
[admin]
address = "127.0.0.1:80"
token_file = "no-such-token"
[log]
format = "jsom"
[[site]]
hosts = ["www.example.com", 3]
[site.origin]
endpoint = ["http://127.0.0.1:9000"]
[[site]]
hosts = ["*.example.com", "*.EXAMPLE.com"]
endpoints = []
[site.origin]
endpoints = ["127.0.0.1:9000", "http://a/b"]
[site.compression]
gzip_level = 10
"#;
    assert_eq!(
        mistakes(text),
        [
            "2 nodes",
            "4 node.name",
            "5 node.worker",
            "6 cache.directory",
            "7 cache.memory",
            "10 listener[0].address",
            "13 listener[1].tls",
            "15 limits.idle_timeout",
            "16 limits.connections_max",
            "18 admin.address",
            "19 admin.token_file",
            "21 log.format",
            "23 site[0].hosts[1]",
            "25 site[0].origin.endpoint",
            "27 site[1].hosts[1]",
            "28 site[1].endpoints",
            "30 site[1].origin.endpoints[0]",
            "30 site[1].origin.endpoints[1]",
            "32 site[1].compression.gzip_level",
        ]
    );
}

#[test]
fn a_mistake_names_its_fix() {
    for (changes, path, what, fix) in [
        (&[("name =", "nmae =")][..], "node.nmae", "unknown key", "did you mean `name`?"),
        (&[("\"edge-1\"", "7")], "node.name", "is a whole number, not a string", "name = \"...\""),
        (
            &[("[site.origin]\n", "")],
            "site[0].endpoints",
            "unknown key",
            "`endpoints` belongs to [site.origin]",
        ),
        (
            &[("[[listener]]", "[listener]")],
            "listener",
            "is a table, not an array",
            "[[listener]] with double",
        ),
        (&[("[node]", "[[node]]")], "node", "is an array, not a table", "[node] with single brackets"),
        (&[("[\"www.example.com\"]", "\"a.b\"")], "site[0].hosts", "is a string", "hosts = [\"...\"]"),
        (&[("[\"www.example.com\"]", "[]")], "site[0].hosts", "at least one host", "[\"*\"] for any"),
        (
            &[("[\"http://127.0.0.1:9000\"]", "[]")],
            "site[0].origin.endpoints",
            "at least one endpoint",
            "http://",
        ),
        (
            &[("endpoints = [\"http://127.0.0.1:9000\"]", "")],
            "site[0].origin.endpoints",
            "at least one",
            "http://",
        ),
        (&[("address = \"127.0.0.1:8080\"", "")], "listener[0].address", "is missing", "address = "),
        (&[("directory", "memory = \"1KiB\"\ndirectory")], "cache.memory", "too small", "at least \"64KiB\""),
        (&[("directory", "object_max = \"1TiB\"\ndirectory")], "cache.object_max", "more than", "10GiB"),
        (&[("8080\"", "8080\"\ntls = true")], "certificate", "listener[0] speaks TLS", "cert = "),
        (
            &[("[[site]]", "[log]\nlevel = \"debgu\"\n[[site]]")],
            "log.level",
            "not a known value",
            "\"debug\"; one of",
        ),
        (&[("[[site]]", "[log]\naccess = \"stderr\"\n[[site]]")], "log.access", "not a place", "\"stdout\""),
        (
            &[("[[site]]", "[log]\naccess = \"/no/such/dir/x\"\n[[site]]")],
            "log.access",
            "not a dir",
            "mkdir -p /no",
        ),
        (
            &[("[[site]]", "[limits]\nhead_timeout = \"0s\"\n[[site]]")],
            "limits.head_timeout",
            "than zero",
            "10s",
        ),
    ] {
        let mistake = the_mistake(&with_least(changes));
        assert_eq!(mistake.path, path, "{mistake}");
        assert!(mistake.what.contains(what), "{mistake}");
        assert!(mistake.fix.contains(fix), "{mistake}");
        assert!(mistake.place.is_some() && mistake.to_string().starts_with("edge.toml:"), "{mistake}");
    }
}

#[test]
fn an_empty_file_lacks_what_a_node_needs() {
    assert_eq!(mistakes(""), ["0 listener", "0 node.name", "0 site"]);
}

#[test]
fn nothing_is_taken_twice() {
    let twice = |section: &str| format!("{LEAST}{section}");
    let listener = "[[listener]]\naddress = \"127.0.0.1:8080\"\n";
    assert_eq!(the_mistake(&twice(listener)).path, "listener[1].address");
    let origin = "[site.origin]\nendpoints = [\"http://a\"]\n";
    let host = format!("[[site]]\nname = \"b\"\nhosts = [\"WWW.example.com\"]\n{origin}");
    assert!(the_mistake(&twice(&host)).what.contains("already at site[0].hosts[0]"));
    let name = format!("[[site]]\nname = \"www.example.com\"\nhosts = [\"b\"]\n{origin}");
    assert!(the_mistake(&twice(&name)).what.contains("is the name of site[0]"));
    let port_zero = LEAST.replace("8080", "0");
    assert!(load_text(&format!("{port_zero}[[listener]]\naddress = \"127.0.0.1:0\"\n")).is_ok());
}

#[test]
fn broken_syntax_is_told_with_its_place() {
    let mistake = the_mistake(&with_least(&[("name = \"edge-1\"", "name = \"edge-1")]));
    assert_eq!(mistake.place.map(|place| place.line), Some(3), "{mistake}");
    let twice = the_mistake(&with_least(&[("name = \"edge-1\"", "name = \"a\"\nname = \"b\"")]));
    assert_eq!(twice.place.map(|place| place.line), Some(4), "{twice}");
}

#[test]
fn files_are_read_relative_to_the_configuration() {
    let folder = folder();
    let loaded = load(&put(&folder, "edge.toml", WITH_FILES)).unwrap();
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.node.certificates[0].key, folder.path().join("key.pem"));
    assert_eq!(loaded.node.sites[0].origin.ca_file, Some(folder.path().join("cert.pem")));
    assert_eq!(&*loaded.node.admin.unwrap().token, "0123456789abcdef0123");
}

#[test]
fn files_that_are_not_what_they_should_be() {
    let folder = folder();
    put(&folder, "empty", "\n");
    put(&folder, "two-lines", "one\ntwo\n");
    for (from, to, path, what) in [
        ("cert = \"cert.pem\"", "cert = \"none.pem\"", "certificate[0].cert", "cannot be read: No such file"),
        ("cert = \"cert.pem\"", "cert = \"key.pem\"", "certificate[0].cert", "holds no certificate"),
        ("cert = \"cert.pem\"\n", "", "certificate[0].cert", "is missing"),
        ("key = \"key.pem\"", "key = \"cert.pem\"", "certificate[0].key", "holds no private key"),
        ("key = \"key.pem\"", "key = \"key2.pem\"", "certificate[0].key", "does not go with"),
        ("key = \"key.pem\"", "key = \".\"", "certificate[0].key", "cannot be read"),
        ("ca_file = \"cert.pem\"", "ca_file = \"key.pem\"", "site[0].origin.ca_file", "holds no certificate"),
        ("\"admin.token\"", "\"empty\"", "admin.token_file", "not one line"),
        ("\"admin.token\"", "\"two-lines\"", "admin.token_file", "not one line"),
        ("\"admin.token\"", "\"/dev/zero\"", "admin.token_file", "larger than 4MiB"),
    ] {
        assert!(WITH_FILES.contains(from), "{from}");
        let file = put(&folder, "edge.toml", &WITH_FILES.replace(from, to));
        let found = load(&file).unwrap_err().0;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].path, path);
        assert!(found[0].what.contains(what), "{}", found[0]);
    }
}

#[test]
fn what_is_hardly_meant_is_a_warning() {
    let folder = folder();
    put(&folder, "short", "secret\n");
    let open = put(&folder, "open", "0123456789abcdef0123\n");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    for (from, to, path, what) in [
        ("\"admin.token\"", "\"short\"", "admin.token_file", "shorter than 16"),
        ("\"admin.token\"", "\"open\"", "admin.token_file", "by others (mode 644)"),
        ("\"127.0.0.1:9901\"", "\"0.0.0.0:9901\"", "admin.address", "reached from everywhere"),
        ("tls = true", "", "certificate", "no listener speaks TLS"),
        (
            "[\"*\"]",
            "[\"www.example.com\", \"shop.example.com\"]",
            "site[0].hosts",
            "\"shop.example.com\" is in no",
        ),
        ("disk = \"0\"", "disk = \"8000TiB\"\ndirectory = \".\"", "cache.disk", "8000TiB is more than"),
        ("https:", "http:", "site[0].origin.ca_file", "no endpoint is https"),
        ("1:9000", "1:8443", "site[0].origin.endpoints[0]", "own listener"),
    ] {
        let file = put(&folder, "edge.toml", &WITH_FILES.replace(from, to));
        let warnings = load(&file).unwrap().warnings;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert_eq!(warnings[0].path, path);
        assert!(warnings[0].what.contains(what), "{}", warnings[0]);
    }
}

#[test]
fn a_certificate_near_its_end_is_a_warning() {
    let folder = folder();
    for (from_now, what) in [(-3, "expired 3 days ago"), (5, "expires in 5 days"), (20, "")] {
        let mut params = rcgen::CertificateParams::new(["www.example.com".to_owned()]).unwrap();
        let now = crate::clock::Clock::system().now().seconds();
        let end = std::time::Duration::from_secs(now.strict_add_signed(from_now * 24 * 3600 + 12 * 3600));
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + end;
        let key = rcgen::KeyPair::generate().unwrap();
        put(&folder, "key.pem", &key.serialize_pem());
        put(&folder, "cert.pem", &params.self_signed(&key).unwrap().pem());
        let warnings = load(&put(&folder, "edge.toml", WITH_FILES)).unwrap().warnings;
        let found: Vec<_> = warnings.iter().map(|warning| warning.what.contains(what)).collect();
        assert_eq!(found, if what.is_empty() { vec![] } else { vec![true] }, "{warnings:?}");
    }
}

#[test]
fn a_file_of_nothing_but_mistakes_is_told_in_part() {
    let text = (0..5000).map(|n| format!("key{n} = {n}\n")).collect::<String>();
    let found = load_text(&text).unwrap_err().0;
    assert_eq!(found.len(), limits::CONFIG_MISTAKES_MAX + 1);
    assert!(found.last().unwrap().what.ends_with("more mistakes"), "{:?}", found.last());
}

#[test]
fn the_manual_knows_every_key_and_its_example_is_right() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let (_, example) = manual.split_once("```toml\n").unwrap();
    let example = example.split("```").next().unwrap();
    assert_eq!(load_text(example).map(warnings_everywhere), Ok(vec![]));
    let root = schema::of::<file::File>();
    schema::tests::visit(&root, &root, "", &mut |path, schema| {
        let inner = schema::resolve(&root, schema);
        let section = inner.get("properties").or(inner.get("items").and_then(|items| items.get("$ref")));
        let last = path.rsplit('.').next().unwrap();
        let known = manual.contains(&format!("`{path}`")) || manual.contains(&format!("`.{last}`"));
        assert!(known || section.is_some(), "{path} is not in docs/operating.md");
    });
}

#[test]
fn a_file_that_cannot_be_read_is_one_mistake() {
    let folder = folder();
    for (file, what) in [
        (folder.path().join("none.toml"), "No such file"),
        (folder.path().to_owned(), "cannot be read"),
        (PathBuf::from("/dev/zero"), "larger than 4MiB"),
    ] {
        let found = load(&file).unwrap_err().to_string();
        assert!(found.contains(what), "{found}");
    }
}

#[test]
fn the_files_in_configs_are_right() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let mut seen = 0;
    for entry in std::fs::read_dir(configs).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == "nodes.toml" || !name.ends_with(".toml") {
            continue;
        }
        let folder = folder();
        let logs = folder.path().join("access.log").display().to_string();
        let text = std::fs::read_to_string(&path).unwrap().replace("/var/log/larder/access.log", &logs);
        let loaded = load(&put(&folder, &name, &text));
        assert_eq!(loaded.map(warnings_everywhere), Ok(vec![]), "{name}");
        seen += 1;
    }
    assert!(seen >= 3, "{seen} files");
}

#[test]
fn the_form_that_users_were_promised_is_understood() {
    let folder = folder();
    put(&folder, "edge.toml", "");
    let text = format!("{}\n[log]\naccess = \"off\"\nformat = \"combined\"\n", WITH_FILES)
        .replace("[[site]]", "[[listener]]\naddress = \"127.0.0.1:0\"\n[[site]]")
        .replace("[\"*\"]", "[\"www.example.com\", \"*.example.com\"]");
    let node = load(&put(&folder, "edge.toml", &text)).unwrap().node;
    assert_eq!(node.log.format, access_log::Format::Combined);
    assert_eq!(node.cache.disk, 0);
    assert_eq!(node.listeners.len(), 2);
}

/// Without what depends on the disk of the machine.
fn warnings_everywhere(loaded: Loaded) -> Vec<Mistake> {
    loaded.warnings.into_iter().filter(|warning| warning.path != "cache.disk").collect()
}

/// The names of all keys, wherever they belong.
fn keys(schema: &Value, out: &mut Vec<String>) {
    for (key, value) in schema.as_object().into_iter().flatten() {
        if key == "properties" {
            out.extend(value.as_object().unwrap().keys().cloned());
        }
        keys(value, out);
    }
}

proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in "(?s)[\\[\\]a-z=\"'.{},0-9\n #é]{0,80}") {
        _ = load_text(&text);
    }

    #[test]
    fn any_value_at_any_key_is_taken_or_told(seed in any::<prop::sample::Index>(), value in prop_oneof![
        Just("true"), Just("-1"), Just("1e9"), Just("\"\""), Just("[]"), Just("[[]]"), Just("{}"), Just("1979-05-27"),
        Just("9223372036854775807"), Just("0xff"), Just("\"9999999999999999999d\""), Just("[{ name = 1 }]"), Just("nan"),
    ], header in prop_oneof![
        Just(""), Just("[node]\n"), Just("[cache]\n"), Just("[limits]\n"), Just("[[site]]\n"), Just("[admin]\n"),
        Just("[[site]]\n[site.origin]\n"), Just("[[site]]\n[site.cache]\n"), Just("[[site]]\n[site.compression]\n"),
        Just("[log]\n"), Just("[[listener]]\n"), Just("[[certificate]]\n"),
    ]) {
        let mut all = Vec::new();
        keys(&schema::of::<file::File>(), &mut all);
        let text = format!("{header}{} = {value}\n", seed.get(&all));
        let found = load_text(&text).unwrap_err();
        prop_assert!(!found.0.is_empty());
        prop_assert!(!found.to_string().contains("invalid type"), "serde spoke instead of us: {}", found);
    }
}
