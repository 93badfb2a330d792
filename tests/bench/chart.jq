# Formats the results of a session (JSON lines, slurped) as a bar chart of the server's CPU time per
# packet. The colours and the grey of the text are readable on white and on black.

def median: sort | if length == 0 then null
  elif length % 2 == 1 then .[length / 2 | floor]
  else (.[length / 2 - 1] + .[length / 2]) / 2 end;
def two: (. * 100 | round) as $n | "\($n / 100 | floor).\($n % 100 | tostring | if length < 2 then "0" + . else . end)";
def escaped: gsub("&"; "&amp;") | gsub("<"; "&lt;");

[.[] | select(.scenario)] as $runs
| [{ name: "callbox", title: "callbox", color: "#2f81f7" },
   { name: "coturn", title: "coturn", color: "#d98a2b" },
   { name: "forwarder", title: "bare forwarder", color: "#8b949e" }] as $servers
| [$scenarios[0][] | select(.chart) | . as $s
   | { title, bars: [$servers[] | . as $server
       | ([$runs[] | select(.scenario == $s.name and (.server | startswith($server.name)))
          | .cpuUsPerPacket | numbers] | median) as $value
       | select($value) | { color, $value }] }
   | select(.bars | length > 0)] as $groups
| ([$groups[].bars[].value] | max // 1) as $most
| 880 as $width | 330 as $left | 16 as $bar | 16 as $gap | 64 as $top
| (($width - $left - 60) / $most) as $scale
| ([foreach $groups[] as $g ({ y: $top, next: $top };
     { y: .next, next: (.next + ($g.bars | length) * $bar + $gap) }; . + { group: $g })]) as $placed
| (($placed | last | .next) // $top) as $height
| [
  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \($width) \($height)\" width=\"\($width)\" height=\"\($height)\" font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"#768390\" role=\"img\" aria-label=\"CPU time per relayed packet: callbox, coturn and a bare forwarder\">",
  "<text x=\"\($left)\" y=\"20\" font-size=\"15\" font-weight=\"600\">CPU time per packet, µs (less is better)</text>",
  ($servers | to_entries[]
    | (.key * 110 + $left) as $x
    | "<rect x=\"\($x)\" y=\"32\" width=\"12\" height=\"12\" rx=\"2\" fill=\"\(.value.color)\"/>"
    + "<text x=\"\($x + 18)\" y=\"43\">\(.value.title)</text>"),
  ($placed[] | . as $p | (.group.bars | length * $bar) as $tall
    | "<text x=\"\($left - 12)\" y=\"\(.y + $tall / 2 + 4)\" text-anchor=\"end\">\(.group.title | escaped)</text>",
      (.group.bars | to_entries[]
        | ($p.y + .key * $bar) as $y | (.value.value * $scale * 10 | round / 10) as $long
        | "<rect x=\"\($left)\" y=\"\($y)\" width=\"\($long)\" height=\"\($bar - 3)\" rx=\"2\" fill=\"\(.value.color)\"/>"
        + "<text x=\"\($left + $long + 6)\" y=\"\($y + 11)\" font-size=\"11\">\(.value.value | two)</text>")),
  "</svg>"
] | join("\n")
