//! The page, in one piece: it asks for nothing but the stream, the results and the JSON API.

/// HTML with its style and scripts.
pub(super) const PAGE: &str = concat!(
    r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Densight</title>
<link rel="icon" href="data:,">
<style>
"#,
    include_str!("page/style.css"),
    "</style>\n</head>\n<body>\n",
    include_str!("page/body.html"),
    "<script>\n",
    include_str!("page/live.js"),
    include_str!("page/settings.js"),
    include_str!("page/teach.js"),
    include_str!("page/begin.js"),
    "</script>\n</body>\n</html>\n",
);
