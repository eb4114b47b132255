"""Whether metrics agree: what ranked lists share, beside what chance would share."""
