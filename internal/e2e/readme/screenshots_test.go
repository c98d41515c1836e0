package readme_test

import (
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/e2e/browser"
)

// screenshots are the README's pictures of the demo.
var screenshots = []struct {
	name          string
	width, height int
	dark          bool
}{
	{"demo-light.png", 1280, 1100, false},
	{"demo-dark.png", 1280, 1100, true},
	{"demo-narrow.png", 390, 2100, false},
}

// The demo still looks as in the README: a picture can be made of each, and those in docs/images are such pictures. With
// -update they are made anew.
func TestScreenshots(t *testing.T) {
	d := startDemo(t, tools(t))
	p := browsers.Get(t, "chromium").Open(t, "http://"+d.page+"/?stream=chat")
	cutAndResume(t, p)
	committed, fresh := filepath.Join(root, "docs/images"), t.ArtifactDir()
	if *update {
		fresh = committed
	}
	for _, s := range screenshots {
		t.Run(s.name, func(t *testing.T) {
			made := absolute(t, filepath.Join(fresh, s.name))
			shot := browser.Screenshot{Path: made, Width: s.width, Height: s.height, Dark: s.dark}
			p.Screenshot(shot)
			p.Eval(guard, atRest, nil) // the new width and colours have only begun to show
			p.Screenshot(shot)
			for _, path := range []string{made, filepath.Join(committed, s.name)} {
				if problem := implausible(t, path, s.width, s.height, s.dark); problem != "" {
					t.Errorf("%s %s; look at it, and make it anew with: go test ./internal/e2e/readme -run Screenshots -update", path, problem)
				}
			}
		})
	}
}

// atRest waits until what fades or slides has done so, and shows the page from its top.
const atRest = `scrollTo(0, 0);
	await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
	const passing = (a) => a.effect.getComputedTiming().iterations !== Infinity;
	await Promise.allSettled(document.getAnimations().filter(passing).map((a) => a.finished));`

// cutAndResume brings the page to what the pictures show: an answer that went on after its connection was cut.
func cutAndResume(t *testing.T, p *browser.Page) {
	t.Helper()
	wait := func(condition string) {
		t.Helper()
		p.Eval(guard, `const number = (id) => Number(document.getElementById(id).innerText);
			for (const end = Date.now() + 60_000; !(`+condition+`);) {
				if (Date.now() > end) throw new Error(document.body.innerText);
				await new Promise((done) => setTimeout(done, 50));
			}`, nil)
	}
	wait(`!document.getElementById('start').disabled`)
	p.Eval(guard, `document.getElementById('start').click()`, nil)
	wait(`number('n-events') > 40`)
	p.Eval(guard, `document.getElementById('cut').click()`, nil)
	wait(`document.getElementById('timeline').innerText.includes('204 No Content')`)
	var resumed string
	p.Eval(guard, `document.activeElement?.blur(); return document.getElementById('n-resumed').innerText`, &resumed)
	if resumed != "1" {
		t.Fatalf("resumed %s times instead of once", resumed)
	}
}

// implausible says what is wrong with a picture: its size, or that it is blank, or dark where it should be light.
func implausible(t *testing.T, path string, width, height int, dark bool) string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	picture, err := png.Decode(file)
	if err != nil {
		return err.Error()
	}
	if size := picture.Bounds().Size(); size != image.Pt(width, height) {
		return "has the size " + size.String()
	}
	colours := map[[3]uint32]int{}
	var light uint64
	for y := range height {
		for x := range width {
			r, g, b, _ := picture.At(x, y).RGBA()
			colours[[3]uint32{r, g, b}]++
			light += uint64(r+g+b) / 3
		}
	}
	pixels := width * height
	for _, count := range colours {
		if count > pixels*9/10 {
			return "is nearly blank"
		}
	}
	if len(colours) < 100 {
		return "shows next to nothing"
	}
	if bright := light/uint64(pixels) > 0x8000; bright == dark {
		return "is not in the colours that it should be in"
	}
	return ""
}

// implausible finds pictures that are wrong.
func TestImplausible(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, paint func(*image.Gray)) string {
		path := filepath.Join(dir, name)
		picture := image.NewGray(image.Rect(0, 0, 64, 64))
		paint(picture)
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if err := png.Encode(file, picture); err != nil {
			t.Fatal(err)
		}
		return path
	}
	shades := write("shades.png", func(g *image.Gray) {
		for i := range g.Pix {
			g.Pix[i] = uint8(128 + i%128)
		}
	})
	blank := write("blank.png", func(*image.Gray) {})
	two := write("two.png", func(g *image.Gray) {
		for i := range len(g.Pix) / 2 {
			g.Pix[i] = 255
		}
	})
	for _, test := range []struct {
		path        string
		width       int
		dark, sound bool
	}{
		{shades, 64, false, true},
		{shades, 64, true, false},
		{shades, 32, false, false},
		{blank, 64, true, false},
		{two, 64, true, false},
		{filepath.Join(dir, "none.png"), 64, true, false},
	} {
		if problem := implausible(t, test.path, test.width, 64, test.dark); (problem == "") != test.sound {
			t.Errorf("%s, %d wide, dark %v: %q", filepath.Base(test.path), test.width, test.dark, problem)
		}
	}
}
