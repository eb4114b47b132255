"""Where the top weights lie: lines, channels, heads, tokens, depth."""
