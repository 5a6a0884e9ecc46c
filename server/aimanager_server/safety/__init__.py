"""Safety filters: find secrets, personal data and blocked patterns in text, and mask them."""
