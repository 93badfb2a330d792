# Formats reports of `callbox check --conformance --json`, each with the server's name and version,
# as tables for docs/conformance.md: the results, with one row for equal results of several
# transports, or every case. Needs `--arg which` with `results`, `cases` or the name of one server.

# Escapes a server's text for a table cell: ports differ between runs, and bars would end the cell.
def cell: gsub("\\|"; "\\|") | gsub("(?<ip>127\\.0\\.0\\.1|\\[::1\\]):[0-9]+"; "\(.ip):…");

# The cases with one status over all transports, with their results.
def rows($status):
  (map(.transport) | join(", ")) as $all
  | [ .[] | .transport as $transport
      | .cases[] | select(.status == $status) | . + { transport: $transport } ]
  | group_by(.name)
  | map(.[0] + { over: (map(.transport) | join(", ")) });

def counts:
  "| over | ok | failed | skipped |\n|---|---|---|---|\n"
  + (map("| \(.transport) | \(.passed) | \(.failed) | \(.skipped) |") | join("\n"));

def failures:
  rows("failed")
  | if length == 0 then "It fails none." else
      "| case | section | over | expected | received |\n|---|---|---|---|---|\n"
      + (map("| `\(.name)` | \(.section) | \(.over) | \(.must) | \(.came | cell) |") | join("\n"))
    end;

def skips:
  rows("skipped")
  | if length == 0 then "It skips none." else
      "Skipped:\n\n| reason | cases |\n|---|---|\n"
      + (group_by(.reason)
         | map("| \(.[0].reason | cell) | \(map("`\(.name)`") | join(", ")) |") | join("\n"))
    end;

# Every case of every report, in the order in which they run.
def cases:
  (map({ (.transport): [.cases[].name] }) | add) as $names
  | [ .[].cases[] ] as $cases
  | reduce $cases[] as $case ([]; if any(.[]; .name == $case.name) then . else . + [$case] end)
  | map(.name as $name
        | ([ $names | to_entries[] | select(any(.value[]; . == $name)) | .key ]) as $over
        | (if ($over | length) == ($names | length) then "any" else ($over | join(", ")) end) as $over
        | "| `\(.name)` | \(.section) | \(.must) | \($over) |")
  | "| case | section | expected | over |\n|---|---|---|---|\n" + join("\n");

if $which == "cases" then cases else
map(select($which == "results" or .name == $which))
| group_by(.name)
| map("### \(.[0].version)\n\n\(counts)\n\n\(failures)\n\n\(skips)")
| join("\n\n")
end
