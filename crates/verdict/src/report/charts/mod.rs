//! The drawings of the page: small pure functions from numbers to SVG.
//!
//! Colours, dashes and letter sizes stand in the page's style sheet, so that a drawing follows
//! light, dark and paper. Each is drawn twice, for a wide page and for a phone, because letters
//! that shrink with the drawing cannot be read. Whatever is drawn is also said: in the drawing's
//! label for those who cannot see it, and by a table in the page.

mod cache;
mod curve;
mod forest;
mod nights;
mod scale;
mod svg;
mod timeline;

pub use cache::cache_rate;
pub use curve::{latency_curve, small_curve};
pub use forest::{Effect, forest};
pub use nights::{Night, nights};
pub use timeline::timeline;

/// A drawing in both sizes.
pub struct Chart {
    /// SVG for pages at least as wide as [`Canvas::WIDE`].
    pub wide: String,
    /// SVG for a phone.
    pub narrow: String,
}

/// Characters of a foreign name in the words about a drawing.
const NAME_LIMIT: usize = 80;

/// How large a drawing is, in units that are pixels if nothing scales it.
#[derive(Debug, Clone, Copy)]
struct Canvas {
    width: f64,
    height: f64,
}

impl Canvas {
    const WIDE: f64 = 960.0;
    const NARROW: f64 = 350.0;

    /// Whether letters beside the drawing would leave no room for it.
    fn is_narrow(self) -> bool {
        self.width < 500.0
    }
}

/// Draws in both sizes, with a height for each.
fn both(wide_height: f64, narrow_height: f64, draw: impl Fn(Canvas) -> String) -> Chart {
    Chart {
        wide: draw(Canvas { width: Canvas::WIDE, height: wide_height }),
        narrow: draw(Canvas { width: Canvas::NARROW, height: narrow_height }),
    }
}
