//! The scenario to start from: what a database can tell of traffic, which is little.

use std::fmt::Write;

use super::{Found, Pair, comment, quoted};

pub(super) fn text(found: &Found) -> String {
    let mut text = format!(
        "# Traffic for the platform of {}, made by `cutover init`.\n\
         # A database does not know the platform's paths: CHECK each one. Better: an access log knows them,\n\
         # cutover init --from-access-log FILE.\n\
         name = \"mine\"\n\n\
         [arrivals]\nshape = \"poisson\"\n\n\
         # Where the org comes from a signed token: {{{{token}}}} in a header.\n\
         # [token]\n# secret_env = \"TOKEN_SECRET\"\n# claims = '{{\"org\":{{{{org}}}}}}'\n\n",
        comment(&found.database)
    );
    for pair in found.pairs.iter().filter(|pair| pair.org.is_some()) {
        text.push_str(&of_pair(pair));
    }
    if found.pairs.iter().all(|pair| pair.org.is_none()) {
        text.push_str(
            "[[operation]]\nname = \"list\"\nweight = 1\npath = \"/CHECK?org={{org}}\"\n",
        );
    }
    text
}

/// What may stand in a path as it is.
fn plain(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    name.chars().map(keep).collect()
}

fn of_pair(pair: &Pair) -> String {
    let org = pair.org.as_deref().unwrap_or("org");
    let (name, path) = (plain(&pair.name), plain(&pair.legacy.name.name));
    let mut text = String::new();
    let _ = writeln!(
        text,
        "# CHECK: the path that lists rows of {}.\n[[operation]]\nname = \"list_{name}\"\nweight = 10\n\
         method = \"GET\"\npath = \"/{path}?{}={{{{org}}}}&limit=50\"\nexpect = [200]\n\
         # headers = {{ authorization = \"Bearer {{{{token}}}}\" }}\n\
         # own = [\"/items/*/{}\"]   # where an answer names its org: another one there is a leak\n",
        comment(&pair.name),
        plain(org),
        comment(org)
    );
    let tag = pair.legacy.columns.iter().find(|column| {
        column.type_name == "text" && !pair.key.contains(&column.name) && column.name != org
    });
    let (Some(tag), [key]) = (tag, pair.key.as_slice()) else { return text };
    let _ = writeln!(
        text,
        "# A write, looked up on both sides afterwards. Its tag is a column that {{{{unique}}}} makes known.\n\
         # [[operation]]\n# name = \"create_{name}\"\n# weight = 1\n# method = \"POST\"\n# path = \"/{path}\"\n\
         # body = '{{\"{}\":{{{{org}}}},\"{}\":\"Booking {{{{unique}}}}\"}}'\n# expect = [201]\n\
         # writes = {{ table = {}, kind = \"insert\", key = {{ {} = \"/{}\" }}, tag = {}, \
         values = {{ {} = \"/{}\" }} }}\n",
        comment(org),
        comment(&tag.name),
        comment(&quoted(&pair.name)),
        comment(&quoted(key)),
        comment(key),
        comment(&quoted(&tag.name)),
        comment(&quoted(&tag.name)),
        comment(&tag.name)
    );
    text
}
