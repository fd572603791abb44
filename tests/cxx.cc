/* cxx.cc - the header from C++17: reads without warnings, calls work, and functions are registered as plain pointers.
 * Prints "ok: N" where N is the number of files that the update wrote. Usage: cxx STATE-DIRECTORY OUTPUT-FILE */
#include "cocoindex.h"
#include "connectors/localfs.h"

#include <cstdio>
#include <string>

namespace {

const char *output;

/* The function's body, as a plain pointer gets it: the arguments are in args, unchecked. */
coco_status greet(coco_ctx *cx, const coco_value *args)
{
    const coco_str name = coco_text_of(args[0]);
    const std::string text = "hello, " + std::string(name.p, name.n) + "\n";

    return coco_declare_file(cx, coco_text(output), coco_str{ text.data(), text.size() }, nullptr);
}

coco_fn greet_fn{}, root_fn{};

coco_status root(coco_ctx *cx, const coco_value *)
{
    const coco_value args[] = { coco_text("world") };

    return coco_mount(cx, COCO_AUTO, &greet_fn, coco_args{ args, 1 }, nullptr);
}

/* What COCO_FN does in C. */
void register_functions()
{
    greet_fn.name = "greet";
    greet_fn.call = greet;
    greet_fn.nparams = 1;
    greet_fn.memo = true;
    greet_fn.version = 1;
    greet_fn.deps = coco_text("polite");
    coco_register(&greet_fn);
    root_fn.name = "root";
    root_fn.call = root;
    coco_register(&root_fn);
}

} // namespace

int main(int argc, char **argv)
{
    coco_env_config config{};
    coco_app_config app_config{};
    coco_env *env = nullptr;
    coco_app *app = nullptr;
    coco_result result{};
    coco_err err{};

    if (argc != 3) return 2;
    output = argv[2];
    register_functions();
    config.db = argv[1];
    app_config.name = "cxx";
    app_config.main = &root_fn;

    coco_status rc = coco_env_open(&config, &env, &err);
    if (rc == 0) rc = coco_app_open(env, &app_config, &app, &err);
    if (rc == 0) rc = coco_update(app, nullptr, &result, &err);
    if (rc == 0) std::printf("ok: %d\n", static_cast<int>(result.inserts + result.updates));
    else std::fprintf(stderr, "%s: %s\n", coco_status_name(rc), err.msg);
    coco_result_free(&result);
    coco_app_close(app);
    coco_env_close(env);
    return rc == 0 ? 0 : 1;
}
