"""inspection: finds what is wrong on the ground and sees it put right."""
