target "default" {
  args = {
    e01 = base64encode("hällo")
    e02 = base64decode("aGk=")
    e03 = urlencode("a b/c?d=é&~*")
    e04 = sha256("x")
    e40 = md5("x")
    e41 = sha1("x")
    e05 = sha512("x")
    e06 = formatdate("YYYY-MM-DD'T'hh:mm:ss ZZZZ EEE MMM D h HH AA", "2024-03-05T14:07:09Z")
    e07 = formatdate("DD MMMM YY, EEEE H:m:s aa ZZZZZ", "2024-12-25T00:30:00+02:00")
    e08 = timeadd("2024-01-31T00:00:00Z", "1h30m")
    e09 = timeadd("2024-01-31T00:00:00+01:00", "-24h")
    e19 = formatdate("ZZZ Z", "2024-12-25T00:30:00Z")
  }
}
