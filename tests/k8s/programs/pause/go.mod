module millrace.test/pause

go 1.26.0
