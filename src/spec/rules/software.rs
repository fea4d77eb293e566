//! What runs: environment and engine settings.

use super::{Problem, names::at_most};
use crate::spec::{ComputeCluster, EngineSpec, EnvironmentSpec, FieldPath, ProviderKind, limits, text::code};

pub(super) fn check(cluster: &ComputeCluster, found: &mut Vec<Problem>) {
    let spec = &cluster.spec;
    if let Some(environment) = &spec.environment {
        fits_provider(environment, spec.provider.kind(), found);
        environment_itself(environment, found);
    }
    let EngineSpec::Dask(dask) = &spec.engine;
    let path = FieldPath::of("spec.engine.dask");
    let config = path.key("config");
    let few = at_most(&config, dask.config.len(), limits::CONFIG, "settings", found);
    for key in dask.config.keys().filter(|_| few) {
        if key.split('.').any(|part| part.trim().is_empty()) || key.len() > limits::CONFIG_KEY {
            found.push(
                Problem::error(format!("{} is no name of a Dask setting", code(key)))
                    .at_key(&config.key(key), "")
                    .help("write it with dots, such as `distributed.scheduler.work-stealing`"),
            );
        }
    }
    for (key, preloads) in
        [("workerPreload", &dask.worker_preload), ("schedulerPreload", &dask.scheduler_preload)]
    {
        let path = path.key(key);
        if !at_most(&path, preloads.len(), limits::PRELOADS, "preloads", found) {
            continue;
        }
        for (index, preload) in preloads.iter().enumerate() {
            reference(&path.index(index), preload, limits::PATH, "module or file", found);
        }
    }
}

fn fits_provider(environment: &EnvironmentSpec, provider: ProviderKind, found: &mut Vec<Problem>) {
    let path = FieldPath::of("spec.environment");
    let (key, wants_image) = match environment {
        EnvironmentSpec::Packages(_) => ("packages", false),
        EnvironmentSpec::Interpreter(_) => ("interpreter", false),
        EnvironmentSpec::Image(_) => ("image", true),
    };
    if wants_image != (provider == ProviderKind::Local) {
        return;
    }
    let help = if wants_image {
        "write `packages` or `interpreter`, or remove `environment` to use the Python that is active now"
    } else {
        "write `image` with a container image, or remove `environment` to use one like the Python that is active now"
    };
    found.push(
        Problem::error(format!(
            "the provider `{}` cannot run an environment given as `{key}`",
            provider.as_str()
        ))
        .at_key(&path.key(key), "")
        .at_key(&FieldPath::of("spec.provider").key(provider.as_str()), "the provider")
        .help(help),
    );
}

fn environment_itself(environment: &EnvironmentSpec, found: &mut Vec<Problem>) {
    let path = FieldPath::of("spec.environment");
    match environment {
        EnvironmentSpec::Packages(packages) => self::packages(&path.key("packages"), packages, found),
        EnvironmentSpec::Interpreter(interpreter) => {
            let text = interpreter.to_string_lossy();
            reference(&path.key("interpreter"), &text, limits::PATH, "path of the interpreter", found);
        }
        EnvironmentSpec::Image(image) => {
            let path = path.key("image");
            if image.chars().any(char::is_whitespace) {
                found.push(
                    Problem::error("the name of an image has no blanks")
                        .at(&path, "")
                        .help("write it as `registry/name:tag` or `registry/name@sha256:...`"),
                );
            } else {
                reference(&path, image, limits::REFERENCE, "image", found);
                placeholders(&path, image, found);
            }
        }
    }
}

/// What stands in braces is filled in from the caller's versions.
fn placeholders(path: &FieldPath, image: &str, found: &mut Vec<Problem>) {
    let rest = EnvironmentSpec::IMAGE_PLACEHOLDERS
        .iter()
        .fold(image.to_owned(), |text, name| text.replace(name, ""));
    if rest.contains(['{', '}']) {
        found.push(
            Problem::error("the image has braces around something unknown")
                .at(path, "")
                .help("`{dask}` and `{python}` stand for the versions of whoever creates the cluster, such as 2026.8.0 and 3.13"),
        );
    }
}

fn packages(path: &FieldPath, packages: &[String], found: &mut Vec<Problem>) {
    if packages.is_empty() {
        found.push(
            Problem::error("`packages` is empty")
                .at(path, "")
                .help("name at least `dask[distributed]`, or remove `environment`"),
        );
        return;
    }
    if !at_most(path, packages.len(), limits::PACKAGES, "packages", found) {
        return;
    }
    for (index, package) in packages.iter().enumerate() {
        let path = path.index(index);
        if package.starts_with('-') {
            found.push(
                Problem::error(format!("{} is an option of pip, not a requirement", code(package)))
                    .at(&path, "")
                    .help("set options of pip in its own configuration file or environment variables"),
            );
        } else {
            reference(&path, package, limits::REFERENCE, "requirement", found);
        }
    }
    if !packages.iter().any(|package| package.contains("dask") || package.contains("distributed")) {
        found.push(
            Problem::warning("no package here names Dask")
                .at(path, "")
                .help("add `dask[distributed]`, unless one of these brings it"),
        );
    }
}

fn reference(path: &FieldPath, text: &str, most: usize, what: &str, found: &mut Vec<Problem>) {
    let (flaw, help) = if text.trim().is_empty() {
        ("is empty".to_owned(), "write it, or remove the entry")
    } else if text.chars().any(char::is_control) {
        ("has control characters or line breaks".to_owned(), "write it on one line")
    } else if text.len() > most {
        (format!("has {} bytes; the most is {most}", text.len()), "is it what was meant?")
    } else {
        return;
    };
    found.push(Problem::error(format!("the {what} {flaw}")).at(path, "").help(help));
}
