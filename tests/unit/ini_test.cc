#include "config/ini.h"
#include "tests/catch.h"
#include "tests/system/support/temp_dir.h"

#include <sys/stat.h>
#include <unistd.h>

using namespace config;

namespace {

// A file in a fresh directory, read.
class IniFile {
public:
    explicit IniFile(std::string_view text) : path_(directory_ / "t.conf")
    {
        write_file(path_, text);
        ini = read_ini(path_);
    }

    // The value of the only entry.
    std::string value() const
    {
        REQUIRE(ini.problems.empty());
        REQUIRE(ini.entries.size() == 1);
        return ini.entries.front().value;
    }

    // "LINE: text" of the only problem.
    std::string problem() const
    {
        REQUIRE(ini.problems.size() == 1);
        CHECK(ini.problems.front().origin.source == path_);
        return std::to_string(ini.problems.front().origin.line) + ": " + ini.problems.front().text;
    }

    Ini ini;

private:
    TempDir directory_;
    std::string path_;
};

std::string value_of(std::string_view written)
{
    return IniFile("[a]\nk = " + std::string(written) + "\n").value();
}

}  // namespace

TEST_CASE("ini: entries carry their section and their line")
{
    const IniFile file("# comment\n\n[a]\nk = 1\n\n[b]\n; comment\nk = 2\nl=3");
    REQUIRE(file.ini.problems.empty());
    REQUIRE(file.ini.entries.size() == 3);
    CHECK(file.ini.entries[0].section == "a");
    CHECK(file.ini.entries[0].origin.line == 4);
    CHECK(file.ini.entries[1].section == "b");
    CHECK(file.ini.entries[1].origin.line == 8);
    CHECK(file.ini.entries[2].key == "l");
    CHECK(file.ini.entries[2].value == "3");
    CHECK(file.ini.entries[2].origin.line == 9);
}

TEST_CASE("ini: sections are told even when they are empty or repeated")
{
    const IniFile file("[a]\n[b]\n[a]  ; comment\n[ c ]\n");
    REQUIRE(file.ini.problems.empty());
    REQUIRE(file.ini.sections.size() == 4);
    CHECK(file.ini.sections[0].name == "a");
    CHECK(file.ini.sections[2].name == "a");
    CHECK(file.ini.sections[2].origin.line == 3);
    CHECK(file.ini.sections[3].name == "c");
}

TEST_CASE("ini: an indented line is an entry and no continuation")
{
    const IniFile file("[a]\n  k = 1\n\tl = 2\n    m = 3\n");
    REQUIRE(file.ini.problems.empty());
    REQUIRE(file.ini.entries.size() == 3);
    CHECK(file.ini.entries[0].value == "1");
    CHECK(file.ini.entries[1].key == "l");
    CHECK(file.ini.entries[1].value == "2");
    CHECK(file.ini.entries[2].value == "3");
}

TEST_CASE("ini: a value ends before a blank and a comment")
{
    CHECK(value_of("x ; comment") == "x");
    CHECK(value_of("x # comment") == "x");
    CHECK(value_of("x\t# comment") == "x");
    CHECK(value_of("# comment").empty());
    CHECK(value_of("; comment").empty());
    CHECK(value_of("a;b#c") == "a;b#c");
    CHECK(value_of("").empty());
}

TEST_CASE("ini: a backslash makes a comment mark part of the value")
{
    CHECK(value_of("a \\; b") == "a ; b");
    CHECK(value_of("a \\# b") == "a # b");
    CHECK(value_of("\\;") == ";");
    CHECK(value_of("a\\b") == "a\\b");
    CHECK(value_of("a\\\\;b") == "a\\;b");
}

TEST_CASE("ini: one pair of double quotes around a value is taken off")
{
    CHECK(value_of("\" x \"") == " x ");
    CHECK(value_of("\"\"").empty());
    CHECK(value_of("\"%(r)s\" %(s)s \"%(a)s\"") == "\"%(r)s\" %(s)s \"%(a)s\"");
    CHECK(value_of("\"\"x\"\"") == "\"x\"");
    CHECK(value_of("\"") == "\"");
    CHECK(value_of("'x'") == "'x'");
}

TEST_CASE("ini: a value keeps equals signs colons and inner blanks")
{
    CHECK(value_of("unix:/run/x.sock") == "unix:/run/x.sock");
    CHECK(value_of("a = b : c") == "a = b : c");
    CHECK(value_of("a  b\tc") == "a  b\tc");
    CHECK(value_of("\xc3\xa4\xff") == "\xc3\xa4\xff");
}

TEST_CASE("ini: written values are read back as they were")
{
    for (const char* text :
         {"",          "x",           "a b",   " x",    "x ",      "a ; b",  "a # b", ";",
          "#",         "a;b",         "\\;",   "\\\\#", "a \\; b", "\"",     "\"\"",  "\"x\"",
          "\"\"x\"\"", "\"a\" \"b\"", "a = b", "x\\",   "\\",      "a\\ ;b", "[x]"}) {
        INFO(text);
        CHECK(value_of(written(text)) == text);
    }
}

TEST_CASE("ini: long lines arrive whole")
{
    for (const std::size_t size : {150U,
                                   190U,
                                   191U,
                                   192U,
                                   193U,
                                   195U,
                                   196U,
                                   197U,
                                   198U,
                                   199U,
                                   200U,
                                   201U,
                                   250U,
                                   400U,
                                   1000U,
                                   8000U}) {
        INFO(size);
        std::string value;
        while (value.size() < size)
            value += "abc de=f;g#h [i] " + std::to_string(value.size());
        value.resize(size, 'x');
        value.back() = 'z';
        CHECK(value_of(value) == value);
    }
}

TEST_CASE("ini: the comment of a long line is left out")
{
    const std::string value(250, 'v');
    CHECK(value_of(value + " # " + std::string(400, 'c')) == value);
    CHECK(value_of("short ; " + std::string(9000, 'c')) == "short");
    CHECK(IniFile("[a]\n#" + std::string(20'000, 'c') + "\nk = 1\n").value() == "1");
}

TEST_CASE("ini: a line that is too long is an error and not cut")
{
    const IniFile file("[a]\nk = " + std::string(9000, 'x') + "\nl = 1\n");
    CHECK(file.problem() == "2: the line is too long: at most 8192 bytes");
    REQUIRE(file.ini.entries.size() == 1);
    CHECK(file.ini.entries[0].key == "l");
    CHECK(file.ini.entries[0].origin.line == 3);
}

TEST_CASE("ini: what cannot be cut into pieces is an error and not cut")
{
    const IniFile blanks("[a]\nk = a" + std::string(500, ' ') + "b\n");
    CHECK_THAT(blanks.problem(), Catch::Matchers::StartsWith("2: "));
    const IniFile name("[a]\n" + std::string(300, 'k') + " = 1\n");
    CHECK_THAT(name.problem(), Catch::Matchers::StartsWith("2: "));
    CHECK(name.ini.entries.empty());
}

TEST_CASE("ini: names of sections and keys over 49 bytes are not cut")
{
    const std::string name(80, 'n');
    const IniFile file("[" + name + "]\n" + name + " = 1\n");
    REQUIRE(file.ini.entries.size() == 1);
    CHECK(file.ini.sections.at(0).name == name);
    CHECK(file.ini.entries[0].section == name);
    CHECK(file.ini.entries[0].key == name);
}

TEST_CASE("ini: every line that is not understood is named")
{
    const IniFile file(
        "[a]\njunk\nk = 1\nmore junk\n= 5\n[open\nx = 1\n[]\ny = 1\n[b] junk\nz = 1\n[c]\nw = 1\n");
    REQUIRE(file.ini.problems.size() == 6);
    const int lines[] = {2, 4, 5, 6, 8, 10};
    for (std::size_t i = 0; i < 6; ++i)
        CHECK(file.ini.problems[i].origin.line == lines[i]);
    CHECK(file.ini.problems[0].text ==
          "\"junk\" is not understood: write [NAME], key = value or # comment");
    CHECK(file.ini.problems[2].text == "there is no key before the =: write key = value");
    CHECK(file.ini.problems[3].text == "\"[open\" lacks its ]: write [NAME]");
    CHECK(file.ini.problems[4].text == "\"[]\" is not a section: write [NAME]");
    // Entries beneath a broken section would only be put into the wrong one.
    REQUIRE(file.ini.entries.size() == 2);
    CHECK(file.ini.entries[1].section == "c");
}

TEST_CASE("ini: an entry before the first section is an error")
{
    CHECK(IniFile("k = 1\n[a]\n").problem() ==
          "1: k: stands before the first section: write [global] or [NAME] first");
}

TEST_CASE("ini: a byte order mark and line ends of Windows are taken")
{
    const IniFile file("\xef\xbb\xbf[a]\r\nk = 1\r\n\r\nl = 2\r\n");
    REQUIRE(file.ini.problems.empty());
    REQUIRE(file.ini.entries.size() == 2);
    CHECK(file.ini.entries[0].value == "1");
    CHECK(file.ini.entries[1].value == "2");
}

TEST_CASE("ini: a NUL byte is an error")
{
    using namespace std::string_literals;
    CHECK(IniFile("[a]\nk = x\0y\n"s).problem() ==
          "2: the line holds a NUL byte: text in UTF-8 is needed");
    CHECK(IniFile("[a]\n# \0\n"s).problem() ==
          "2: the line holds a NUL byte: text in UTF-8 is needed");
    // UTF-16, as some editors save it.
    CHECK_FALSE(IniFile("\xff\xfe[\0a\0]\0\n\0"s).ini.problems.empty());
}

TEST_CASE("ini: control characters are an error")
{
    CHECK(IniFile("[a]\nk = x\ry\n").problem() ==
          "2: \"k = x\\x0Dy\" holds control characters: printable text only");
    CHECK_THAT(IniFile("[a]\nk = \"x\v; y\"\n").problem(), Catch::Matchers::StartsWith("2: "));
    CHECK(IniFile("[a]\nk = x\ty # \x1b\n").value() == "x\ty");
}

TEST_CASE("ini: an empty file has nothing and no problem")
{
    CHECK(IniFile("").ini.problems.empty());
    CHECK(IniFile("\n\n# x\n").ini.sections.empty());
}

TEST_CASE("ini: a file that is missing or a directory is named with the reason")
{
    const TempDir directory;
    const Ini missing = read_ini(directory / "none.conf");
    REQUIRE(missing.problems.size() == 1);
    CHECK(missing.problems[0].origin.text() == directory / "none.conf");
    CHECK(missing.problems[0].text == "cannot be read: No such file or directory");
    const Ini folder = read_ini(directory.path());
    REQUIRE(folder.problems.size() == 1);
    CHECK(folder.problems[0].text == "cannot be read: Is a directory");
}

TEST_CASE("ini: a file without permission is named with the reason")
{
    if (is_root())
        SKIP_TEST("root reads every file");
    const TempDir directory;
    write_file(directory / "t.conf", "[a]\n", 0);
    const Ini ini = read_ini(directory / "t.conf");
    REQUIRE(ini.problems.size() == 1);
    CHECK(ini.problems[0].text == "cannot be read: Permission denied");
}

TEST_CASE("ini: a file of more than 4 MB is refused")
{
    const IniFile file(std::string(5 << 20, '\n'));
    REQUIRE(file.ini.problems.size() == 1);
    CHECK(file.ini.problems[0].text == "cannot be read: File too large");
}

TEST_CASE("ini: included files are read in the order of their names")
{
    const TempDir directory;
    std::filesystem::create_directory(directory / "d");
    for (const char* name : {"b", "a", "c", "B"})
        write_file(directory / ("d/" + std::string(name) + ".conf"),
                   "[" + std::string(name) + "]\nk = 1\n");
    write_file(directory / "d/skipped.bak", "[skipped]\n");
    write_file(directory / "t.conf", "[global]\ninclude = d/*.conf\npid = x\n");
    const Ini ini = read_ini(directory / "t.conf");
    CHECK(ini.problems.empty());
    std::string names;
    for (const Section& section : ini.sections)
        names += section.name + " ";
    CHECK(names == "global B a b c ");
    REQUIRE(ini.entries.size() == 5);
    CHECK(ini.entries[0].key == "pid");
    CHECK(ini.entries[1].origin.text() == directory / "d/B.conf:2");
}

TEST_CASE("ini: include takes absolute paths and several lines")
{
    const TempDir directory;
    write_file(directory / "one.conf", "[one]\n");
    write_file(directory / "two.conf", "[two]\n");
    write_file(directory / "t.conf",
               "[global]\ninclude = " + directory / "one.conf" + "\ninclude = two.conf\n");
    const Ini ini = read_ini(directory / "t.conf");
    CHECK(ini.problems.empty());
    CHECK(ini.sections.size() == 3);
}

TEST_CASE("ini: a pattern without a match is a warning and a missing file an error")
{
    const TempDir directory;
    write_file(directory / "t.conf", "[global]\ninclude = d/*.conf\ninclude = none.conf\n");
    const Ini ini = read_ini(directory / "t.conf");
    REQUIRE(ini.warnings.size() == 1);
    CHECK(ini.warnings[0] ==
          directory / "t.conf:2: include: no file matches " + directory / "d/*.conf");
    REQUIRE(ini.problems.size() == 1);
    CHECK(ini.problems[0].origin.text() == directory / "t.conf:3");
    CHECK(ini.problems[0].text ==
          "include: " + directory / "none.conf" + " does not exist: name a file or a pattern");
}

TEST_CASE("ini: a file that includes itself is refused")
{
    const TempDir directory;
    write_file(directory / "t.conf", "[global]\ninclude = u.conf\n");
    write_file(directory / "u.conf", "[global]\ninclude = ./t.conf\n");
    const Ini ini = read_ini(directory / "t.conf");
    REQUIRE(ini.problems.size() == 1);
    CHECK(ini.problems[0].origin.text() == directory / "u.conf:2");
    CHECK_THAT(ini.problems[0].text, Catch::Matchers::Contains("includes itself"));
}

TEST_CASE("ini: files include one another at most five deep")
{
    const TempDir directory;
    const auto file = [&](int depth) { return directory / (std::to_string(depth) + ".conf"); };
    for (int depth = 0; depth < 8; ++depth)
        write_file(file(depth), "[global]\ninclude = " + file(depth + 1) + "\n");
    const Ini ini = read_ini(file(0));
    REQUIRE(ini.problems.size() == 1);
    CHECK(ini.problems[0].origin.text() == file(5) + ":2");
    CHECK_THAT(ini.problems[0].text, Catch::Matchers::Contains("over 5 deep"));
}

TEST_CASE("ini: an include outside of global is left to others")
{
    const IniFile file("[www]\ninclude = x.conf\n");
    REQUIRE(file.ini.entries.size() == 1);
    CHECK(file.ini.entries[0].key == "include");
}

TEST_CASE("ini: mistakes of an included file are told with its name")
{
    const TempDir directory;
    write_file(directory / "u.conf", "[a]\njunk\n");
    write_file(directory / "t.conf", "[global]\ninclude = u.conf\n");
    const Ini ini = read_ini(directory / "t.conf");
    REQUIRE(ini.problems.size() == 1);
    CHECK(ini.problems[0].origin.text() == directory / "u.conf:2");
}
