package report

import (
	"fmt"
	"html"
	"math"
	"strings"

	"github.com/grpc-sse/grpc-sse/bench/internal/result"
)

// The chart's geometry, in pixels.
const (
	chartWidth = 800
	margin     = 24
	barsLeft   = 188 // names stand to the left of it
	barsWidth  = 360
	figureEnd  = barsLeft + barsWidth + 88 // figures end here, so that no line crosses them; the spread begins behind
	rowHeight  = 28
	barHeight  = 16
	panelHead  = 44
	panelGap   = 18
	chartHead  = 46
	chartFoot  = 44
)

// longestUnit is how long a unit may be to stand beside each figure.
const longestUnit = len("bytes")

// style makes one picture for light and dark pages. The background is the page's.
const style = `<style>
text{font-family:-apple-system,BlinkMacSystemFont,"Segoe UI","Noto Sans",Helvetica,Arial,sans-serif;font-size:13px;fill:#1f2328}
.title{font-size:16px;font-weight:600}.metric{font-weight:600}.muted,.spread{fill:#59636e}.spread,.foot{font-size:12px}.foot{fill:#59636e}
.ours{font-weight:600}.bar{fill:#a8b1bb}.bar.ours{fill:#0969da}.bar.limit{fill:none;stroke:#818b98;stroke-dasharray:3 2}
.whisker{stroke:#1f2328;stroke-width:1.2;opacity:.75}.axis{stroke:#d1d9e0}.budget{stroke:#bc4c00;stroke-width:1.5;stroke-dasharray:5 3}
.budget-text{fill:#bc4c00;font-size:12px}.cut{fill:none;stroke:#59636e;stroke-width:1.5}
@media (prefers-color-scheme:dark){text{fill:#f0f6fc}.muted,.spread,.foot{fill:#9198a1}.bar{fill:#59636e}.bar.ours{fill:#4493f8}
.bar.limit{stroke:#9198a1}.whisker{stroke:#f0f6fc}.axis{stroke:#3d444d}.budget{stroke:#f0883e}.budget-text{fill:#f0883e}.cut{stroke:#9198a1}}
</style>
`

// canvas collects an SVG's elements.
type canvas struct{ strings.Builder }

func (c *canvas) text(class string, x, y float64, anchor, text string) {
	if text == "" {
		return
	}
	c.printf(`<text class=%q x="%s" y="%s" text-anchor=%q>%s</text>`, class, px(x), px(y), anchor, html.EscapeString(text))
}

func (c *canvas) line(class string, x1, y1, x2, y2 float64) {
	c.printf(`<line class=%q x1="%s" y1="%s" x2="%s" y2="%s"/>`, class, px(x1), px(y1), px(x2), px(y2))
}

func (c *canvas) printf(format string, args ...any) {
	fmt.Fprintf(c, format, args...)
	c.WriteByte('\n')
}

// px is a coordinate with one place, so that the same figures give the same file on every machine.
func px(v float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
}

// chart draws a scenario: a panel for each metric that it is about, a bar for each target.
func chart(v *view) string {
	var c canvas
	y := float64(chartHead)
	for i, metric := range v.shown() {
		if i > 0 {
			y += panelGap
		}
		y = c.panel(v, metric, y)
	}
	height := y + chartFoot
	var head canvas
	head.printf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%s" viewBox="0 0 %d %s" role="img" aria-label=%q>`,
		chartWidth, px(height), chartWidth, px(height), html.EscapeString(v.Title))
	head.WriteString(style)
	head.text("title", margin, margin+6, "start", v.Title)
	c.text("foot", margin, height-16, "start", footer(v))
	return head.String() + c.String() + "</svg>\n"
}

func footer(v *view) string {
	rounds := fmt.Sprintf("median of %d rounds, line: least to most", v.rounds())
	if v.rounds() == 1 {
		rounds = "one round"
	}
	return fmt.Sprintf("%s · %s · %s", rounds, v.run.Date, v.run.Machine)
}

// panel draws one metric below y and returns where it ends.
func (c *canvas) panel(v *view, metric string, y float64) float64 {
	rows := v.of(metric)
	name, unit := metric, rows[0].Unit
	if unit == "/s" {
		name, unit = strings.Replace(metric, " per second", "", 1), "a second"
	}
	c.printf(`<text x="%d" y="%s"><tspan class="metric">%s</tspan><tspan class="muted">, %s · %s is better</tspan></text>`,
		margin, px(y+16), html.EscapeString(name), html.EscapeString(unit), rows[0].Better)
	scale := newScale(v, metric)
	_, budget, budgeted := v.budget(metric)
	top := y + panelHead
	bottom := top + float64(len(rows)*rowHeight)
	if !math.IsNaN(v.reference(metric)) && len(rows) > 1 {
		c.text("spread", chartWidth-margin, top-9, "end", "vs "+ours)
	}
	c.line("axis", barsLeft, top-4, barsLeft, bottom)
	for i, row := range rows {
		c.bar(row, scale, top+float64(i*rowHeight), times(row.Median(), v.reference(metric)))
	}
	if budgeted {
		x := scale.x(budget)
		c.line("budget", x, top-4, x, bottom)
		c.text("budget-text", x, top-9, "middle", fmt.Sprintf("budget %s %s", sign(rows[0].Better), withUnit(budget, rows[0].Unit)))
	}
	return bottom
}

// bar draws one target's row.
func (c *canvas) bar(row result.Row, s scale, y float64, ratio string) {
	class := ""
	switch {
	case isOurs(row.Target):
		class = "ours"
	case isLimit(row.Target):
		class = "limit"
	}
	middle := y + rowHeight/2
	c.text(class, barsLeft-10, middle+4.5, "end", row.Target)
	median := row.Median()
	if math.IsNaN(median) {
		c.text("muted", barsLeft+8, middle+4.5, "start", "not measured")
		return
	}
	x := s.x(median)
	c.printf(`<rect class="bar %s" x="%d" y="%s" width="%s" height="%d" rx="2"/>`, class, barsLeft, px(middle-barHeight/2), px(max(x-barsLeft, 1)), barHeight)
	least, most := row.Spread()
	if s.cut(median) {
		c.printf(`<path class="cut" d="M%s %s l4 -5 l-4 -6 l4 -5"/>`, px(x-10), px(middle+8))
	} else if len(row.Values) > 1 {
		c.line("whisker", s.x(least), middle, s.x(most), middle)
		c.line("whisker", s.x(least), middle-3, s.x(least), middle+3)
		c.line("whisker", s.x(most), middle-3, s.x(most), middle+3)
	}
	unit := row.Unit
	if len(unit) > longestUnit {
		unit = "" // it stands above
	}
	c.text(class, figureEnd, middle+4.5, "end", withUnit(median, unit))
	c.text("spread", figureEnd+10, middle+4.5, "start", spread(row))
	if !isOurs(row.Target) {
		c.text("spread", chartWidth-margin, middle+4.5, "end", ratio)
	}
}

// scale maps values to places.
type scale struct{ max float64 }

// Bars that would be many times as long as what matters are cut: what matters are our figure and the budget where less is
// better, and servers beside limits where more is.
const longest = 20

func newScale(v *view, metric string) scale {
	var matters, most float64
	better := result.Lower
	for _, row := range v.of(metric) {
		_, high := row.Spread()
		better = row.Better
		if budget, ok := v.run.Budget(row); ok {
			matters = max(matters, budget)
		}
		if math.IsNaN(high) {
			continue
		}
		most = max(most, high)
		if isOurs(row.Target) || better == result.Higher && !isLimit(row.Target) {
			matters = max(matters, high)
		}
	}
	most = max(most, matters)
	switch {
	case matters == 0:
	case better == result.Lower:
		most = min(most, longest*matters)
	default:
		most = min(most, 1.6*matters)
	}
	if most == 0 {
		most = 1
	}
	return scale{max: most}
}

func (s scale) x(v float64) float64 { return barsLeft + barsWidth*min(v/s.max, 1) }

// cut says whether a value is beyond the scale.
func (s scale) cut(v float64) bool { return v > s.max*1.001 }
