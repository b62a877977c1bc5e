//! The page by keyboard alone, and for those who hear it or see little of it.

use serde_json::{Value as Json, json};

use crate::chromium::{Page, serve};

const TAB: &str = "\u{E004}";
/// More than the page has.
const STOPS_MAX: usize = 90;

/// What a screen reader says of the element that has the focus.
#[derive(Debug)]
struct Stop {
    id: String,
    role: String,
    name: String,
    is_visible: bool,
}

async fn stop(page: &Page) -> Stop {
    let active = page.driver("GET", "/element/active", &Json::Null).await;
    let element = active.as_object().unwrap().values().next().unwrap();
    let element = element.as_str().unwrap().to_owned();
    let said = async |what: &str| {
        let path = format!("/element/{element}/{what}");
        let said = page.driver("GET", &path, &Json::Null).await;
        said.as_str().unwrap().to_owned()
    };
    // A ring round the element itself, or round what stands for it.
    let ring = "(() => {
        const one = document.activeElement;
        const ring = (node) => node && getComputedStyle(node).outlineStyle !== 'none';
        const field = one.closest('.search');
        return ring(one) || ring(one.nextElementSibling)
            || (field !== null && getComputedStyle(field).boxShadow !== 'none');
    })()";
    Stop {
        id: page
            .ask("document.activeElement.id")
            .await
            .as_str()
            .unwrap()
            .to_owned(),
        role: said("computedrole").await,
        name: said("computedlabel").await,
        is_visible: page.ask(ring).await == true,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_reached_by_tab_has_a_role_and_a_name_and_nothing_holds_the_focus() {
    let Some(page) = Page::open().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (_server, address) = serve("127.0.0.1:0", &folder.path().join("data"));
    page.goto(&address).await;
    page.until_connection_is("live").await;
    page.until_charts_advance().await;

    let mut stops = Vec::new();
    for _ in 0..STOPS_MAX {
        page.press(TAB).await;
        if page.ask("document.activeElement === document.body").await == true {
            break;
        }
        stops.push(stop(&page).await);
        if stops.len() > 1 && stops[0].name == stops[stops.len() - 1].name {
            break;
        }
    }
    assert!(stops.len() < STOPS_MAX, "the walk does not end: {stops:#?}");
    for one in &stops {
        assert!(!one.name.trim().is_empty(), "without a name: {one:?}");
        let roles = [
            "link",
            "button",
            "combobox",
            "ComboBoxGrouping",
            "radio",
            "slider",
            "group",
            "textbox",
            "textField",
        ];
        assert!(roles.contains(&one.role.as_str()), "{one:?}");
        assert!(one.is_visible, "nobody sees where the focus is: {one:?}");
    }
    // In the order in which they are read.
    let order = ["health", "theme", "tag-search", "admin-input"];
    let places: Vec<Option<usize>> = order
        .iter()
        .map(|id| stops.iter().position(|one| one.id == *id))
        .collect();
    assert!(
        places.iter().all(Option::is_some),
        "{places:?} of {stops:#?}"
    );
    assert!(places.is_sorted(), "{places:?}");
    let charts = stops.iter().filter(|one| one.role == "slider").count();
    assert!(charts >= 3, "charts among {stops:#?}");

    reads_a_chart_by_arrow_keys(&page).await;
    says_charts_in_words(&page).await;
    has_landmarks_and_live_regions(&page).await;
    goes_to_the_past_and_back_by_keys(&page).await;
    moves_nothing_for_those_who_ask(&page).await;
    for theme in ["light", "dark"] {
        let chosen = format!("document.documentElement.dataset.theme = '{theme}'");
        page.ask(&format!("({chosen})")).await;
        has_contrast(&page, theme).await;
    }
    page.close().await;
}

async fn reads_a_chart_by_arrow_keys(page: &Page) {
    page.ask("document.querySelector('[role=slider]').focus()")
        .await;
    page.press("\u{E012}").await;
    let said = "document.activeElement.getAttribute('aria-valuetext')";
    let value = page
        .until("a reading", said, |value| value != "at the newest values")
        .await;
    let value = value.as_str().unwrap().to_owned();
    assert!(value.contains(": "), "{value}");
    page.press("\u{E00C}").await;
    page.until("the newest", said, |value| value == "at the newest values")
        .await;
}

async fn says_charts_in_words(page: &Page) {
    let words = "[...document.querySelectorAll('[data-testid=chart-words]')]
        .filter((table) => table.rows.length > 1)
        .map((table) => [...table.rows[1].cells].map((cell) => cell.textContent))";
    let said = page
        .until("charts in words", words, |value| {
            value.as_array().unwrap().len() >= 3
        })
        .await;
    let first = &said[0];
    assert_eq!(first[0], "host/cpu.total_pct");
    assert!(first[1].as_str().unwrap().ends_with('%'), "{first}");
    assert!(first[2].as_str().unwrap().contains(':'), "a time: {first}");
}

async fn has_landmarks_and_live_regions(page: &Page) {
    let there = "({
        banner: document.querySelectorAll('body > header').length,
        main: document.querySelectorAll('main').length,
        headings: document.querySelectorAll('h1').length,
        unnamed: [...document.querySelectorAll('main > section')]
            .filter((one) => !one.ariaLabel && !one.getAttribute('aria-labelledby')).length,
        polite: document.querySelectorAll('#connection-said[role=status]').length,
        assertive: document.querySelectorAll('#connection-lost[role=alert]').length,
        language: document.documentElement.lang,
        twice: (() => {
            const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);
            return ids.filter((id, index) => ids.indexOf(id) !== index);
        })(),
    })";
    assert_eq!(
        page.ask(there).await,
        json!({"banner": 1, "main": 1, "headings": 1, "unnamed": 0, "polite": 1, "assertive": 1,
            "language": "en", "twice": []})
    );
}

async fn goes_to_the_past_and_back_by_keys(page: &Page) {
    page.ask("document.querySelector('[data-testid=mode] :checked').focus()")
        .await;
    page.press("\u{E014}").await;
    page.until_text("#charts-title", |text| text == "Past")
        .await;
    page.ask("document.querySelector('[data-testid=past-back]').focus()")
        .await;
    page.press("\u{E007}").await;
    page.until_text("#charts-title", |text| text == "Live")
        .await;
    let focused = page.ask("document.activeElement.value").await;
    assert_eq!(focused, "live", "the focus is where it can go on");
}

async fn moves_nothing_for_those_who_ask(page: &Page) {
    let moving = "[...document.querySelectorAll('*')].filter((one) => {
        const style = getComputedStyle(one);
        const durations = [style.transitionDuration, style.animationDuration];
        const times = durations.flatMap((list) => list.split(', '));
        return times.some((time) => parseFloat(time) > 0) && style.transitionProperty !== 'none';
    }).length";
    assert_ne!(page.ask(moving).await, 0, "something moves otherwise");
    let reduced = json!({"name": "prefers-reduced-motion", "value": "reduce"});
    let command = json!({"cmd": "Emulation.setEmulatedMedia", "params": {"features": [reduced]}});
    page.driver("POST", "/goog/cdp/execute", &command).await;
    assert_eq!(page.ask(moving).await, 0);
}

/// Text stands out from what is behind it as WCAG 2 asks at level AA: 4.5 to 1, large text 3 to 1.
async fn has_contrast(page: &Page, theme: &str) {
    let found = page.ask(include_str!("contrast.js")).await;
    assert!(found["checked"].as_u64() > Some(40), "{found}");
    let faint = found["faint"].as_array().unwrap();
    assert!(faint.is_empty(), "in the {theme} theme: {faint:#?}");
}
