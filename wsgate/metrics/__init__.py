"""What is measured: read at scrape time, in workers, and told as one by the supervisor."""
