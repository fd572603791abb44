/* languages.h - the table of languages, read by ops/text/language.c. To make a language known, or a name for one, add
 * to it; the order is free, and nothing else needs to be changed.
 *
 *     X(name, aliases, file names, interpreters)
 *
 * Each is a list with spaces between its words. Aliases are other names of the language and, with their dot, extensions
 * of its files (".h.in": what is longer counts where ".in" is nobody's). File names stand for whole names of files, in
 * that case; a name also counts in front of a dot (Dockerfile.test). Interpreters are what follows #! at the start of a
 * file, without directory and version (python3.11: python). No word may stand in two rows, in whatever case, but in
 * columns of different kinds.
 *
 * The names are those of CocoIndex, and of the tree-sitter language pack, so that a grammar is found by its name. Some
 * extensions and the names of files and interpreters go beyond them. */
#ifndef COCO_LANGUAGES_H
#define COCO_LANGUAGES_H

/* clang-format off */
#define COCO_LANGUAGES(X) \
    X("actionscript", ".as", "", "") \
    X("ada", ".ada .adb .ads", "", "") \
    X("agda", ".agda", "", "") \
    X("apex", ".cls .trigger", "", "") \
    X("arduino", ".ino", "", "") \
    X("asciidoc", ".adoc .asciidoc", "", "") \
    X("asm", ".asm .a51 .i .nas .nasm .s", "", "") \
    X("astro", ".astro", "", "") \
    X("awk", ".awk", "", "awk gawk mawk nawk") \
    X("bash", ".sh .bash sh shell .zsh .ksh .ebuild zsh ksh", ".bashrc .bash_profile .bash_login .bash_logout " \
      ".bash_aliases .profile .zshrc .zshenv .zprofile .kshrc PKGBUILD APKBUILD configure", "sh bash dash ash ksh " \
      "mksh zsh") \
    X("batch", ".bat .cmd", "", "") \
    X("beancount", ".beancount", "", "") \
    X("bibtex", ".bib .bibtex", "", "") \
    X("bicep", ".bicep .bicepparam", "", "") \
    X("bitbake", ".bb .bbappend .bbclass", "", "") \
    X("c", ".c .cats .h.in .idc", "", "") \
    X("cairo", ".cairo", "", "") \
    X("capnp", ".capnp", "", "") \
    X("chatito", ".chatito", "", "") \
    X("clarity", ".clar", "", "") \
    X("clojure", ".clj .boot .cl2 .cljc .cljs .cljs.hl .cljscm .cljx .hic .edn", "", "bb clojure clj") \
    X("cmake", ".cmake .cmake.in", "CMakeLists.txt", "") \
    X("coffeescript", ".coffee", "", "coffee") \
    X("commonlisp", ".lisp .asd .cl .l .lsp .ny .podsl .sexp", ".sbclrc", "sbcl clisp ecl ccl") \
    X("cpon", ".cpon", "", "") \
    X("cpp", ".cpp .h .c++ .cc .cp .cppm .cxx .h++ .hh .hpp .hxx .inl .ipp .ixx .tcc .tpp .txx c++", "", "") \
    X("crystal", ".cr", "", "crystal") \
    X("csharp", ".cs .cake .cs.pp .csx .linq cs c#", "", "") \
    X("css", ".css .scss .less .sass", "", "") \
    X("csv", ".csv", "", "") \
    X("cuda", ".cu .cuh", "", "") \
    X("d", ".d .di", "", "rdmd") \
    X("dart", ".dart", "", "dart") \
    X("diff", ".diff .patch", "", "") \
    X("dockerfile", ".dockerfile .containerfile docker", "Dockerfile Containerfile", "") \
    X("dtd", ".dtd", "", "") \
    X("elisp", ".el", ".emacs", "emacs") \
    X("elixir", ".ex .exs", "", "elixir") \
    X("elm", ".elm", "", "") \
    X("embeddedtemplate", ".ets .erb .ejs", "", "") \
    X("erlang", ".erl .app .app.src .escript .hrl .xrl .yrl", "rebar.config", "escript") \
    X("fennel", ".fnl", "", "fennel") \
    X("firrtl", ".fir", "", "") \
    X("fish", ".fish", "", "fish") \
    X("fortran", ".f .f90 .f95 .f03 f f90 f95 f03 .for .f08", "", "") \
    X("fsharp", ".fs .fsi .fsx", "", "dotnet") \
    X("func", ".func", "", "") \
    X("gdscript", ".gd", "", "") \
    X("gitattributes", ".gitattributes", ".gitattributes", "") \
    X("gitignore", ".gitignore .dockerignore", ".npmignore .prettierignore .eslintignore", "") \
    X("gleam", ".gleam", "", "") \
    X("glsl", ".glsl .vert .frag", "", "") \
    X("gn", ".gn .gni", "", "") \
    X("go", ".go golang", "", "gorun") \
    X("gomod", "go.mod", "go.mod", "") \
    X("gosum", "go.sum", "go.sum", "") \
    X("graphql", ".graphql .gql", "", "") \
    X("groovy", ".groovy .grt .gtpl .gvy .gradle", "Jenkinsfile", "groovy") \
    X("hack", ".hack", "", "hhvm") \
    X("handlebars", ".hbs .handlebars", "", "") \
    X("hare", ".ha", "", "") \
    X("haskell", ".hs .hs-boot .hsc .lhs", ".ghci", "runhaskell runghc stack cabal") \
    X("haxe", ".hx", "", "") \
    X("hcl", ".hcl .tf tf terraform .tfvars .nomad", "", "") \
    X("heex", ".heex", "", "") \
    X("hlsl", ".hlsl", "", "") \
    X("html", ".html .htm .hta .html.hl .xht .xhtml", "", "") \
    X("hyprlang", ".hl", "", "") \
    X("ini", ".ini .cfg .desktop .editorconfig", ".gitconfig .editorconfig .npmrc setup.cfg", "") \
    X("ispc", ".ispc", "", "") \
    X("janet", ".janet", "", "janet") \
    X("java", ".java .jav .jsh", "", "java jshell") \
    X("javascript", ".js ._js .bones .cjs .es .es6 .gs .jake .javascript .jsb .jscad .jsfl .jslib .jsm .jspre .jss " \
      ".jsx .mjs .njs .pac .sjs .ssjs .xsjs .xsjslib js", "Jakefile", "node nodejs bun") \
    X("json", ".json .4DForm .4DProject .avsc .geojson .gltf .har .ice .JSON-tmLanguage .json.example .jsonl " \
      ".mcmeta .sarif .tact .tfstate .tfstate.backup .topojson .webapp .webmanifest .yy .yyp .jsonc .json5", \
      ".babelrc .eslintrc .prettierrc composer.lock Pipfile.lock .jshintrc", "") \
    X("jsonnet", ".jsonnet", "", "") \
    X("julia", ".jl jl", "", "julia") \
    X("kdl", ".kdl", "", "") \
    X("kotlin", ".kt .ktm .kts kt", "", "kotlin kscript") \
    X("latex", ".tex .sty .ltx", "", "") \
    X("lean", ".lean", "", "") \
    X("lex", ".lex", "", "") \
    X("linkerscript", ".ld", "", "") \
    X("liquid", ".liquid", "", "") \
    X("llvm", ".ll", "", "") \
    X("lua", ".lua .nse .p8 .pd_lua .rbxs .rockspec .wlua", ".luacheckrc", "lua luajit texlua") \
    X("luau", ".luau", "", "luau") \
    X("m4", ".m4", "configure.ac", "m4") \
    X("magik", ".magik", "", "") \
    X("make", ".mak .make .makefile .mk .mkfile makefile", "Makefile GNUmakefile BSDmakefile Kbuild", "make") \
    X("markdown", ".md .livemd .markdown .mdown .mdwn .mdx .mkd .mkdn .mkdown .ronn .scd .workbook md", "", "") \
    X("mermaid", ".mmd", "", "") \
    X("meson", "meson.build", "meson.build meson_options.txt", "") \
    X("netlinx", ".axi", "", "") \
    X("nim", ".nim .nim.cfg .nimble .nimrod .nims", "", "nim") \
    X("ninja", ".ninja", "", "") \
    X("nix", ".nix", "", "nix-shell") \
    X("nqc", ".nqc", "", "") \
    X("nushell", ".nu nu", "", "nu") \
    X("objc", ".m .mm objective-c", "", "") \
    X("ocaml", ".ml .mli", "", "ocaml ocamlrun") \
    X("odin", ".odin", "", "") \
    X("org", ".org", "", "") \
    X("pascal", ".pas .dfm .dpr .lpr .pascal pas dpr delphi", "", "") \
    X("pem", ".pem", "", "") \
    X("perl", ".pl .al .cgi .fcgi .perl .ph .plx .pm .psgi .t", "Makefile.PL cpanfile Rexfile", "perl") \
    X("pgn", ".pgn", "", "") \
    X("php", ".php .phtml", "", "php") \
    X("po", ".po", "", "") \
    X("pony", ".pony", "", "") \
    X("powershell", ".ps1 .psm1 .psd1 pwsh", "", "pwsh powershell") \
    X("prisma", ".prisma", "", "") \
    X("properties", ".properties", "", "") \
    X("proto", ".proto", "", "") \
    X("psv", ".psv", "", "") \
    X("pug", ".pug .jade", "", "") \
    X("puppet", ".pp", "", "") \
    X("purescript", ".purs", "", "") \
    X("python", ".py .pyw .pyi .pyx .pxd .pxi py .pyt .wsgi", "SConstruct SConscript wscript .pythonrc", "python " \
      "pythonw pypy uv") \
    X("qmljs", ".qml", "", "") \
    X("r", ".r .rmd", ".Rprofile", "Rscript") \
    X("racket", ".rkt", "", "racket") \
    X("rbs", ".rbs", "", "") \
    X("re2c", ".re", "", "") \
    X("rego", ".rego", "", "") \
    X("requirements", "requirements.txt", "requirements.txt", "") \
    X("robot", ".robot", "", "") \
    X("roff", ".roff .man .troff", "", "") \
    X("ron", ".ron", "", "") \
    X("rst", ".rst", "", "") \
    X("ruby", ".rb rb", "Gemfile Rakefile Podfile Vagrantfile Guardfile Brewfile Capfile Fastfile config.ru", \
      "ruby jruby rake") \
    X("rust", ".rs rs", "", "rust-script") \
    X("scala", ".scala", "", "scala") \
    X("scheme", ".ss .scm .sld", "", "guile scheme csi chicken chez gosh") \
    X("sed", ".sed", "", "sed gsed") \
    X("slang", ".slang", "", "") \
    X("smali", ".smali", "", "") \
    X("smithy", ".smithy", "", "") \
    X("solidity", ".sol sol", "", "") \
    X("sparql", ".sparql", "", "") \
    X("sql", ".sql .psql", "", "") \
    X("squirrel", ".nut", "", "sq") \
    X("starlark", ".star .bzl .bazel bazel", "BUILD WORKSPACE Tiltfile", "starlark") \
    X("svelte", ".svelte", "", "") \
    X("swift", ".swift", "", "swift") \
    X("tablegen", ".td", "", "") \
    X("tcl", ".tcl .tk", "", "tclsh wish expect") \
    X("thrift", ".thrift", "", "") \
    X("toml", ".toml", "Cargo.lock Pipfile poetry.lock uv.lock", "") \
    X("tsv", ".tsv", "", "") \
    X("tsx", ".tsx", "", "") \
    X("twig", ".twig", "", "") \
    X("typescript", ".ts ts .mts .cts", "", "deno ts-node tsx") \
    X("typst", ".typ", "", "") \
    X("udev", ".rules", "", "") \
    X("ungrammar", ".ungram", "", "") \
    X("uxntal", ".tal", "", "") \
    X("vala", ".vala", "", "") \
    X("verilog", ".vh .v .sv .svh", "", "") \
    X("vhdl", ".vhd .vhdl", "", "") \
    X("vim", ".vim", ".vimrc _vimrc .gvimrc", "vim") \
    X("visualbasic", ".vb vb", "", "") \
    X("vue", ".vue", "", "") \
    X("wast", ".wast", "", "") \
    X("wat", ".wat", "", "") \
    X("wgsl", ".wgsl", "", "") \
    X("xcompose", ".xcompose", ".XCompose", "") \
    X("xml", ".xml .svg .xsd .xsl .xslt .rss .plist .wsdl", "", "") \
    X("yacc", ".y .yacc", "", "") \
    X("yaml", ".yaml .yml yml", ".clang-format .clang-tidy .gemrc", "") \
    X("yuck", ".yuck", "", "") \
    X("zig", ".zig", "", "zig")

#endif /* COCO_LANGUAGES_H */
