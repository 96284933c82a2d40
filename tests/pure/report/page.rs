//! A page taken apart, strictly: it must be well-formed, and it tells what it is made of.

use std::collections::HashSet;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// One element with what the tests ask about.
pub struct Element {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    /// The names of the elements around it, outermost first.
    pub path: Vec<String>,
    /// The elements directly in it.
    pub children: Vec<String>,
}

impl Element {
    /// The value of an attribute.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// All elements of a page, in order.
pub struct Page {
    pub elements: Vec<Element>,
    /// All text outside `<style>`, with entities resolved.
    pub text: String,
}

impl Page {
    /// Takes a page apart, or says what is wrong with it.
    pub fn parse(html: &str) -> Result<Self, String> {
        let html = html.strip_prefix("<!doctype html>").ok_or("no doctype")?;
        let mut reader = Reader::from_str(html);
        reader.config_mut().check_end_names = true;
        let mut page = Self { elements: Vec::new(), text: String::new() };
        let mut open: Vec<usize> = Vec::new();
        loop {
            match reader.read_event().map_err(|e| format!("{e} at {}", reader.error_position()))? {
                Event::Start(tag) => {
                    let index = page.add(&tag, &open)?;
                    open.push(index);
                }
                Event::Empty(tag) => {
                    page.add(&tag, &open)?;
                }
                Event::End(_) => {
                    open.pop().ok_or("an end without a start")?;
                    page.text.push(' ');
                }
                Event::Text(text) if !page.within(&open, "style") => {
                    page.text.push_str(&text.decode().map_err(|e| e.to_string())?);
                }
                Event::GeneralRef(entity) => {
                    let raw = entity.decode().map_err(|e| e.to_string())?;
                    let resolved = quick_xml::escape::unescape(&format!("&{raw};"))
                        .map_err(|e| e.to_string())?
                        .into_owned();
                    page.text.push_str(&resolved);
                }
                Event::Text(_) => {}
                Event::Eof if open.is_empty() => return Ok(page),
                Event::Eof => return Err("an element is not closed".to_owned()),
                other => return Err(format!("not a part of our pages: {other:?}")),
            }
        }
    }

    /// The elements of a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.elements.iter().filter(move |element| element.name == name)
    }

    /// The text with runs of white space as one space.
    pub fn words(&self) -> String {
        self.text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Everything that would make the page fetch, run or send something.
    pub fn reaches_out(&self) -> Vec<String> {
        let mut found = Vec::new();
        for element in &self.elements {
            let name = element.name.as_str();
            if ["script", "iframe", "object", "embed", "form", "base", "img", "video"]
                .contains(&name)
            {
                found.push(format!("<{name}>"));
            }
            for (attribute, value) in &element.attributes {
                let loads = ["src", "href", "action", "srcset", "data", "xlink:href", "formaction"];
                let within = value.starts_with('#') || value == "data:,";
                if attribute.starts_with("on") || loads.contains(&attribute.as_str()) && !within {
                    found.push(format!("{attribute}={value}"));
                }
            }
        }
        found
    }

    /// What somebody who cannot see, or has only a keyboard, would miss.
    pub fn barriers(&self) -> Vec<String> {
        let mut found = Vec::new();
        let holds = |e: &Element, child: &str| e.children.iter().filter(|c| *c == child).count();
        for figure in self.all("figure").filter(|figure| holds(figure, "figcaption") != 1) {
            found.push(format!("a figure without one caption: {:?}", figure.children));
        }
        for svg in self.all("svg") {
            let label = svg.get("aria-label").unwrap_or("");
            if svg.get("role") != Some("img") || label.len() < 40 {
                found.push(format!("a drawing without words: {label:?}"));
            }
            if !svg.path.iter().any(|name| name == "figure") {
                found.push("a drawing outside a figure".to_owned());
            }
        }
        for table in self.all("table").filter(|table| holds(table, "caption") != 1) {
            found.push(format!("a table without one caption: {:?}", table.attributes));
        }
        for _ in self.all("th").filter(|th| th.get("scope").is_none()) {
            found.push("a head cell without scope".to_owned());
        }
        let mut ids = HashSet::new();
        for id in self.elements.iter().filter_map(|element| element.get("id")) {
            if !ids.insert(id) {
                found.push(format!("id {id} twice"));
            }
        }
        let links = self.all("a").filter_map(|a| a.get("href")?.strip_prefix('#'));
        let labels = self.elements.iter().filter_map(|e| e.get("aria-labelledby"));
        for target in links.chain(labels).filter(|target| !ids.contains(target)) {
            found.push(format!("nothing is called {target}"));
        }
        found
    }

    fn within(&self, open: &[usize], name: &str) -> bool {
        open.last().is_some_and(|index| self.elements[*index].name == name)
    }

    fn add(&mut self, tag: &BytesStart<'_>, open: &[usize]) -> Result<usize, String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let name = text(tag.name().as_ref());
        let mut attributes = Vec::new();
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|e| format!("<{name}>: {e}"))?;
            let raw = text(&attribute.value);
            let value = quick_xml::escape::unescape(&raw).map_err(|e| e.to_string())?;
            attributes.push((text(attribute.key.as_ref()), value.into_owned()));
        }
        let path = open.iter().map(|index| self.elements[*index].name.clone()).collect();
        if let Some(parent) = open.last() {
            self.elements[*parent].children.push(name.clone());
        }
        self.elements.push(Element { name, attributes, path, children: Vec::new() });
        Ok(self.elements.len() - 1)
    }
}

#[test]
fn the_parser_sees_what_it_is_there_to_see() {
    let broken = ["<p>no doctype</p>", "<!doctype html><p><b></p>", "<!doctype html><p>"];
    for html in broken {
        assert!(Page::parse(html).is_err(), "{html}");
    }
    let bad = "<!doctype html><html><figure><svg role=\"img\"/></figure><table><th>x</th></table>\
               <img src=\"https://a.example/\"/><a href=\"#nowhere\" onclick=\"x()\">a</a></html>";
    let page = Page::parse(bad).expect("well-formed");
    assert_eq!(page.reaches_out(), ["<img>", "src=https://a.example/", "onclick=x()"]);
    assert_eq!(page.barriers().len(), 5, "{:?}", page.barriers());
}
