"""Every label that a reader of tables and figures sees, in English and Ukrainian, and how each language writes a number."""
from math import floor, inf, log10

LANGUAGES = ("en", "uk")
MISSING = "—"
# Units in Ukrainian text are Cyrillic: с, МБ, ГБ, ГіБ, ГФЛОП, Дж, дБ, год. Table 1's headings stay the thesis's own: сек., MB.
WORDS = {  # key: (English, Ukrainian)
    "model": ("Model", "Модель"),
    "time_s": ("Generation time (s)", "Час генерації (сек.)"),
    "vram_peak_bytes": ("VRAM use (MB)", "Використання VRAM (MB)"),
    "ram_bytes": ("RAM use (MB)", "Використання RAM (MB)"),
    "n": ("n", "n"),
    "stable-diffusion": ("Stable Diffusion", "Stable Diffusion"),
    "vae-as-in-thesis": ("Variational Autoencoders", "Variational Autoencoders"),
    "vae-round-trip": ("VAE alone", "Лише VAE"),
    "stylegan2-ada": ("Generative Adversarial Networks", "Generative Adversarial Networks"),
    "stable-diffusion.short": ("Stable Diffusion", "Stable Diffusion"),
    "vae-as-in-thesis.short": ("VAE (+SD)", "VAE (+SD)"),
    "vae-round-trip.short": ("VAE", "VAE"),
    "stylegan2-ada.short": ("StyleGAN2 ADA", "StyleGAN2 ADA"),
    "caption": ("Table {number} – Comparison of the results", "Таблиця {number} – Порівняльна таблиця результатів"),
    "caption_beside": ("This run beside the thesis’s published figures", "Цей запуск поряд із опублікованими показниками дипломної роботи"),
    "this_run": ("this run", "цей запуск"),
    "thesis": ("thesis", "дипломна робота"),
    "ratio": ("ratio", "відношення"),
    "reading": ("Reading", "Показник"),
    "note": ("{device}; {weights}; profile “{profile}”; {conditions}. {figures}, n = {n}. 1 MB = 1024² bytes. {doubt}",
             "{device}; {weights}; профіль «{profile}»; {conditions}. {figures}, n = {n}. 1 МБ (MB) = 1024² байтів. {doubt}"),
    "mean_sd": ("Mean ± standard deviation", "Середнє ± стандартне відхилення"),
    "part_error": ("Part of the line ± its standard error", "Складова прямої ± її стандартна похибка"),
    "no_vram": ("This machine has no GPU, hence no VRAM.", "На цій машині немає графічного процесора, тому відеопам’ять не вимірюється."),
    "demo": ("demonstration weights", "демонстраційні ваги"),
    "random": ("random weights at full size", "випадкові ваги повного розміру"),
    "published": ("published weights", "опубліковані ваги"),
    "none": ("no model", "без моделі"),
    "other_model": ("The row of Stable Diffusion is of the model {model}.", "Рядок Stable Diffusion стосується моделі {model}."),
    "demo_doubt": ("These are small models for trying things out: their figures say nothing of the published ones.",
                   "Це малі моделі для ознайомлення: їхні показники нічого не говорять про опубліковані моделі."),
    "random_doubt": ("Random weights draw no faces; the time and memory are real.",
                     "З випадковими вагами облич не виходить, а час і пам’ять справжні."),
    "published_doubt": ("", ""),
    "none_doubt": ("", ""),
    "no_pictures": ("there are no pictures", "зображень немає"),
    "steps": ("{steps} steps", "кроків: {steps}"),
    "not_measured": ("not measured on this machine", "на цій машині не виміряно"),
    "iteration": ("Iteration", "Ітерація"),
    "first_image": ("first image", "перше зображення"),
    "iterations_title": ("Time by iteration", "Час за ітераціями"),
    "profile": ("profile “{profile}”", "профіль «{profile}»"),
    "bars_title": ("Time and memory of an image", "Час і пам’ять на одне зображення"),
    "against_title": ("Time against memory", "Час залежно від пам’яті"),
    "failed_warning": (
        "{failed} of {n} iterations ran out of memory and are not in the averages: a smaller batch or float16 needs less",
        "ітерацій, яким не вистачило пам’яті: {failed} із {n}; у середніх їх не враховано: зменште пакет або візьміть float16"),
    "drift_up": (
        "the time rises by {percent} % from the first iteration to the last: let the machine cool down, then measure again",
        "час зростає на {percent} % від першої ітерації до останньої: дайте машині охолонути й виміряйте знову"),
    "drift_down": ("the time falls by {percent} % from the first iteration to the last: warm up longer, then measure again",
                   "час спадає на {percent} % від першої ітерації до останньої: розігрівайте довше й виміряйте знову"),
    "outlier": (
        "iteration {iteration} took {time} s against a median of {median} s: close other programs and measure again",
        "ітерація {iteration} тривала {time} с за медіани {median} с: закрийте інші програми й виміряйте знову"),
    "outlier_first": ("iteration 1 took {time} s against a median of {median} s: raise the number of warm-up calls and measure again",
                      "ітерація 1 тривала {time} с за медіани {median} с: збільште кількість викликів для розігріву й виміряйте знову"),
    "few": ("n = {n} is too few to see a drift or an outlier: measure at least 5 iterations",
            "n = {n} – замало, щоб побачити дрейф або викид: виміряйте щонайменше 5 ітерацій"),
    "noisy": ("the times vary by {percent} %: close other programs, or measure more iterations",
              "час коливається на {percent} %: закрийте інші програми або виміряйте більше ітерацій"),
    "incomplete": ("not every one of the {n} iterations has these readings (how many have): {readings}: measure again",
                   "не в кожній ітерації (усього їх {n}) є ці показники (у дужках – у скількох є): {readings}; виміряйте знову"),
    "reason: clocks set by hand": ("clocks set by hand", "частоту задано вручну"),
    "reason: power cap": ("power cap", "межа потужності"),
    "reason: hardware slowdown": ("hardware slowdown", "апаратне сповільнення"),
    "reason: temperature (software)": ("temperature (software)", "температура (програмно)"),
    "reason: temperature (hardware)": ("temperature (hardware)", "температура (апаратно)"),
    "reason: power brake": ("power brake", "зовнішнє обмеження потужності"),
    "throttled": (
        "the GPU slowed itself down ({reasons}): cool it or raise its power limit, or name the limit beside the figures",
        "графічний процесор знижував частоту ({reasons}): охолодіть його, підвищте межу потужності або зазначте її поряд із даними"),
    "gpu_others": ("other processes held {mb} MB of the GPU: end them (nvidia-smi shows which) and measure again",
                   "інші процеси займали {mb} МБ відеопам’яті: завершіть їх (nvidia-smi покаже, які це) і виміряйте знову"),
    "cpu_others": ("other processes kept {cores} processor cores busy: close them and measure again",
                   "інші процеси завантажували ядра процесора (у середньому {cores}): закрийте їх і виміряйте знову"),
    "swapped": ("the machine moved {mb} MB between memory and swap: free some memory and measure again",
                "машина перемістила {mb} МБ між пам’яттю та файлом підкачки: звільніть пам’ять і виміряйте знову"),
    "energy_window": ("an image takes less than a second, too short for the GPU’s energy counter: read the energy of a larger batch",
                      "зображення генерується менш ніж за секунду, що замало для лічильника енергії: вимірюйте енергію більшого пакета"),
    "no_warnings": ("Nothing was seen that makes these figures doubtful.", "Нічого, що ставило б ці дані під сумнів, не помічено."),
    "full_caption": ("Table {number} – All readings", "Таблиця {number} – Усі показники"),
    "full.n": ("Iterations (failed)", "Ітерації (невдалі)"),
    "full.first_image_s": ("First image (s)", "Перше зображення (с)"),
    "full.time_s": ("Mean time (s)", "Середній час (с)"),
    "full.time_s_median": ("Median time (s)", "Медіана часу (с)"),
    "full.interval": ("95 % interval of the mean (s)", "Довірчий інтервал 95 % для середнього (с)"),
    "full.time_s_cv": ("Coefficient of variation (%)", "Коефіцієнт варіації (%)"),
    "full.cpu_time_s": ("Processor time (s)", "Процесорний час (с)"),
    "full.vram_peak_bytes": ("VRAM, allocator’s peak (MB)", "Відеопам’ять, пік розподілювача (МБ)"),
    "full.vram_reserved_bytes": ("VRAM, reserved (MB)", "Відеопам’ять, зарезервовано (МБ)"),
    "full.vram_device_bytes": ("VRAM, whole device (MB)", "Відеопам’ять, увесь пристрій (МБ)"),
    "full.ram_bytes": ("RAM, at the end (MB)", "Оперативна пам’ять, наприкінці (МБ)"),
    "full.ram_peak_bytes": ("RAM, peak (MB)", "Оперативна пам’ять, пік (МБ)"),
    "full.ram_private_bytes": ("RAM, private (MB)", "Оперативна пам’ять, власна (МБ)"),
    "full.energy_j": ("Energy (J)", "Енергія (Дж)"),
    "full.flops_per_image": ("Work (GFLOP)", "Обсяг обчислень (ГФЛОП)"),
    "full.flops_per_s": ("Rate reached (GFLOP/s)", "Досягнута швидкодія (ГФЛОП/с)"),
    "full.machine_share": ("Share of the machine’s rate (%)", "Частка швидкодії машини (%)"),
    "full.load_time_s": ("Load time (s)", "Час завантаження (с)"),
    "full.parameters": ("Parameters (millions)", "Параметри (млн)"),
    "full.weights_bytes": ("Weights (MB)", "Ваги (МБ)"),
    "quality.psnr_db": ("PSNR (dB)", "PSNR (дБ)"),
    "quality.ssim": ("SSIM", "SSIM"),
    "quality.sharpness": ("Sharpness", "Різкість"),
    "quality.diversity": ("Diversity", "Різноманітність"),
    "quality.clip_iqa": ("CLIP-IQA", "CLIP-IQA"),
    "quality.different_pictures": ("Different pictures", "Різних зображень"),
    "quality.unet_calls": ("UNet calls", "Виклики UNet"),
    "quality.largest_difference": ("Largest difference (levels of 255)", "Найбільша різниця (рівнів із 255)"),
    "nothing_to_conclude": ("No measurement succeeded, so there is nothing to conclude.",
                            "Жодне вимірювання не вдалося, тому висновків зробити не можна."),
    "fastest": ("Fastest is {model}: {time} s an image; {slowest} takes {slowest_s} s, {times} times as long.",
                "Найшвидша модель – {model}: {time} с на зображення; {slowest} потребує {slowest_s} с (відношення {times})."),
    "tied_in_time": (
        "{first} ({first_s} s) and {second} ({second_s} s) cannot be told apart in time: the 95 % intervals overlap or are unknown.",
        "{first} ({first_s} с) і {second} ({second_s} с) за часом не розрізнити: довірчі інтервали 95 % перетинаються або невідомі."),
    "smallest": ("Smallest is {model}, with {mb} MB {memory} at the peak; most takes {largest}: {largest_mb} MB.",
                 "Найменше пам’яті потребує {model}: {mb} МБ {memory} на піку; найбільше – {largest}: {largest_mb} МБ."),
    "of_vram": ("of VRAM", "відеопам’яті"),
    "of_ram": ("of RAM", "оперативної пам’яті"),
    "most_stable": ("Most stable is {model}: its time varies by {percent} %; that of {other} by {other_percent} %.",
                    "Найстабільніша модель – {model}: її час коливається на {percent} %; час {other} – на {other_percent} %."),
    "quality_of": ("{measure}: {figures}{best}.", "{measure}: {figures}{best}."),
    "more_is": ("; the highest is that of {model}", "; найбільше значення має {model}"),
    "quality_limits": (
        "What these figures cannot tell: sharpness and diversity do not say whether a picture shows a face, PSNR and SSIM compare a "
        "picture with its own original only, and five pictures say little of a model’s range.",
        "Чого ці показники не скажуть: різкість і різноманітність не говорять, чи є на зображенні обличчя, PSNR і SSIM порівнюють "
        "зображення лише з його оригіналом, а п’ять зображень мало говорять про можливості моделі."),
    "use_real_time": ("For real time (25 images a second) these serve: {models}. Images a second: {figures}.",
                      "Для реального часу (25 зображень за секунду) придатні: {models}. Зображень за секунду: {figures}."),
    "use_real_time_none": ("For real time (25 images a second) none serves here. Images a second: {figures}.",
                           "Для реального часу (25 зображень за секунду) тут не придатна жодна модель. Зображень за секунду: {figures}."),
    "use_weak": ("On a weak machine (4 GB) these fit: {models}. MB {memory} at the peak: {figures}.",
                 "У пам’ять слабкої машини (4 ГБ) вміщуються: {models}. Пік {memory} (МБ): {figures}."),
    "use_weak_none": ("On a weak machine (4 GB) none fits. MB {memory} at the peak: {figures}.",
                      "У пам’ять слабкої машини (4 ГБ) не вміщується жодна модель. Пік {memory} (МБ): {figures}."),
    "use_text": ("Control by text: only {models} takes a prompt, at {time} s an image.",
                 "Керування текстом: запит приймає лише {models}; зображення генерується за {time} с."),
    "conclusions_are_of": ("These conclusions hold for {device}, with n = {n}. {doubt}",
                           "Ці висновки стосуються пристрою {device}, n = {n}. {doubt}"),
    "caption_cost": ("Table {number} – Cost of many images", "Таблиця {number} – Вартість великої кількості зображень"),
    "note_cost": (
        "At the measured mean time an image; it is assumed that every image takes as long and that devices share the work without loss.",
        "За виміряним середнім часом; припущено, що всі зображення генеруються однаково довго, а пристрої ділять роботу без втрат."),
    "images": ("Images", "Зображень"),
    "images_per_hour": ("Images an hour", "Зображень за годину"),
    "device_hours": ("Device hours", "Годин роботи пристрою"),
    "kwh": ("kWh", "кВт·год"),
    "money": ("Money", "Вартість"),
    "devices": ("Devices for {hours} h", "Пристроїв для {hours} год"),
    "growth_title": ("How time grows, with fitted fixed and per-unit time", "Зростання часу: постійна частина та частина на одиницю"),
    "unit.steps": ("steps", "кроки"),
    "unit.size": ("megapixels", "мегапікселі"),
    "unit.resolution": ("megapixels", "мегапікселі"),
    "unit.batch_size": ("images in a batch", "зображення в пакеті"),
    "no_growth": ("no loop over conditions was measured", "жодної серії запусків за різних умов не виміряно"),
    "caption_growth": ("Table {number} – How time grows", "Таблиця {number} – Зростання часу"),
    "note_growth": (
        "Time ≈ fixed time + time a unit × units, by least squares over three conditions or more (few leave a wide error); where R² is "
        "far from 1 it is no line.",
        "Час ≈ постійна частина + час на одиницю × кількість одиниць, методом найменших квадратів за трьома або більше умовами (коли їх "
        "мало, похибка велика); де R² далекий від 1, зростання не лінійне."),
    "note_below_zero": (
        "A fixed part below zero by more than its error is no time: that line does not reach down to zero units ({rows}).",
        "Постійна частина, менша від нуля більш ніж на свою похибку, не є часом: така пряма не доходить до нуля одиниць ({rows})."),
    "unit": ("Unit", "Одиниця"),
    "fixed_s": ("Fixed time (s)", "Постійна частина (с)"),
    "unit_s": ("Time a unit (s)", "Час на одиницю (с)"),
    "r2": ("R²", "R²"),
    "conditions": ("Conditions", "Умов виміряно"),
    "out_of_memory": ("Out of memory", "Забракло пам’яті"),
    "caption_precisions": ("Table {number} – What precision costs", "Таблиця {number} – Ціна точності обчислень"),
    "note_precisions": (
        "The ratio is the time over that of the model’s first row, the precision of its other runs; PSNR holds the picture of the same "
        "latent, of the VAE of the same photograph, against that row’s. RAM is of the whole process, with what ran in it before.",
        "Відношення – це час, поділений на час у першому рядку моделі (з його точністю виконано інші її запуски); PSNR порівнює "
        "зображення з того самого латентного вектора (для VAE – з тієї самої фотографії) із зображенням першого рядка. Оперативна "
        "пам’ять – усього процесу, разом із тим, що працювало в ньому раніше."),
    "no_precisions": ("no run in another precision was measured", "жодного запуску з іншою точністю не виміряно"),
    "precision": ("Precision", "Точність"),
    "vram": ("VRAM (MB)", "Відеопам’ять (МБ)"),
    "ram": ("RAM (MB)", "Оперативна пам’ять (МБ)"),
    "fit": ("{fixed} s + {slope} s × n\nR² = {r2}", "{fixed} с + {slope} с × n\nR² = {r2}"),
    "did_not_fit": ("out of memory", "забракло пам’яті"),
    "time_axis": ("Time (s)", "Час (с)"),
    "too_few_conditions": ("fewer than three conditions were measured", "виміряно менш ніж три умови"),
    "machines_title": ("The machines side by side", "Порівняння машин"),
    "reference": ("reference", "еталон"),
    "vae_title": ("What the VAE gives back", "Що повертає VAE"),
    "original": ("original", "оригінал"),
    "reconstruction": ("reconstruction", "відтворення"),
    "difference": ("difference × 4", "різниця × 4"),
    "audit_caption": ("Table {number} – The thesis’s figures under audit", "Таблиця {number} – Перевірка показників дипломної роботи"),
    "figure": ("Figure of the thesis", "Показник дипломної роботи"),
    "how_read": ("How it was read", "Як його отримано"),
    "verdict": ("Verdict", "Висновок"),
    "evidence": ("What shows it", "Що на це вказує"),
    "not_judged": ("cannot be judged here ({reason})", "тут оцінити неможливо ({reason})"),
    "reason_demo": ("demonstration weights", "демонстраційні ваги"),
    "reason_no_gpu": ("no GPU", "немає графічного процесора"),
    "reason_profile": ("another profile than the thesis’s", "інший профіль, ніж у дипломній роботі"),
    "reason_steps": ("{steps} steps instead of {published}", "кроків: {steps} замість {published}"),
    "reason_no_run": ("no such run", "немає такого запуску"),
    "verdict.reproduced": ("reproduced", "відтворено"),
    "verdict.not_reproduced": ("not reproduced", "не відтворено"),
    "verdict.impossible": ("cannot be what it says", "не може бути тим, чим названо"),
    "verdict.not_shown": ("nothing speaks against it here", "тут ніщо цьому не суперечить"),
    "verdict.contradicts": ("contradicts itself", "суперечить сам собі"),
    "verdict.confirmed": ("confirmed", "підтверджено"),
    "verdict.refuted": ("refuted", "спростовано"),
    "read.clock": ("wall clock around the call, first image counted", "за годинником до й після виклику, перше зображення враховано"),
    "read.launch": ("wall clock until the call returns, without synchronising", "за годинником до повернення виклику, без синхронізації"),
    "read.allocator": ("torch’s peak, never reset", "пік розподілювача torch без скидання"),
    "read.gputil": ("GPUtil, whole device, once after the iteration", "GPUtil: увесь пристрій, один раз після ітерації"),
    "read.rss": ("RSS at the end", "RSS наприкінці"),
    "read.published": ("as published", "як опубліковано"),
    "read.design": ("how the experiment is set up", "побудова експерименту"),
    "audit.sd_time": ("Stable Diffusion: time", "Stable Diffusion: час"),
    "audit.sd_vram": ("Stable Diffusion: VRAM", "Stable Diffusion: відеопам’ять"),
    "audit.sd_ram": ("Stable Diffusion: RAM", "Stable Diffusion: оперативна пам’ять"),
    "audit.vae_time": ("VAE: time", "VAE: час"),
    "audit.vae_vram": ("VAE: VRAM", "VAE: відеопам’ять"),
    "audit.vae_ram": ("VAE: RAM", "VAE: оперативна пам’ять"),
    "audit.gan_time": ("StyleGAN2-ADA: time", "StyleGAN2-ADA: час"),
    "audit.gan_vram": ("StyleGAN2-ADA: VRAM", "StyleGAN2-ADA: відеопам’ять"),
    "audit.gan_ram": ("StyleGAN2-ADA: RAM", "StyleGAN2-ADA: оперативна пам’ять"),
    "audit.warm_up": ("A slow first image raises Stable Diffusion’s mean time?",
                      "Чи завищує повільне перше зображення середній час Stable Diffusion?"),
    "audit.spread": ("Stable Diffusion and the VAE cannot be told apart in time?", "Чи нерозрізненні за часом Stable Diffusion і VAE?"),
    "audit.guidance": ("Guidance is paid for and changes nothing?", "Чи забирає керування запитом (guidance) час, нічого не змінюючи?"),
    "audit.unet_calls": ("50 steps are 51 UNet calls?", "Чи 50 кроків – це 51 виклик UNet?"),
    "audit.identical": ("The five pictures are one?", "Чи всі п’ять зображень однакові?"),
    "evidence.sd_time": (
        "Published: {published_s} s. The thesis’s reading gives {theirs_s} s here. The synchronised reading gives {ours_s} s here.",
        "Опубліковано: {published_s} с. Спосіб дипломної роботи дає тут {theirs_s} с. Вимірювання із синхронізацією дає тут {ours_s} с."),
    "evidence.sd_vram": ("Published: {published_mb} MB. Of the runs here the nearest has {nearest_mb} MB: {conditions}.",
                         "Опубліковано: {published_mb} МБ. Найближчий із виконаних тут запусків потребує {nearest_mb} МБ: {conditions}."),
    "evidence.sd_ram": ("Every iteration is printed with {printed_mb} MB, their average with {table_mb} MB.",
                        "Для кожної ітерації надруковано {printed_mb} МБ, а для їх середнього – {table_mb} МБ."),
    "evidence.vae_time": (
        "The row takes {whole_s} s here. The autoencoder alone takes {alone_s} s here. That is {percent} %: the rest is the drawing of "
        "the face.",
        "Увесь рядок займає тут {whole_s} с. Сам автокодувальник займає тут {alone_s} с. Це {percent} %: решта – малювання обличчя."),
    "evidence.vae_vram": (
        "Published: {published_mb} MB. The pipeline’s weights alone are {weights_mb} MB. GPUtil reads {gputil_mb} MB here. The "
        "allocator’s peak is {allocator_mb} MB here.",
        "Опубліковано: {published_mb} МБ. Самі ваги конвеєра займають {weights_mb} МБ. GPUtil показує тут {gputil_mb} МБ. Пік "
        "розподілювача тут – {allocator_mb} МБ."),
    "evidence.both_readings": (
        "Published: {published_mb} MB. The thesis’s reading gives {theirs_mb} MB here. Our reading gives {ours_mb} MB here.",
        "Опубліковано: {published_mb} МБ. Спосіб дипломної роботи дає тут {theirs_mb} МБ. Наш спосіб дає тут {ours_mb} МБ."),
    "evidence.gan_time": (
        "Published: {published_s} s. The thesis’s reading gives {theirs_s} s here. The finished image takes {ours_s} s here. The "
        "difference is {percent} % of that.",
        "Опубліковано: {published_s} с. Спосіб дипломної роботи дає тут {theirs_s} с. Готове зображення генерується тут за {ours_s} с. "
        "Різниця становить {percent} % цього часу."),
    "evidence.gan_ram": (
        "Published: {published_mb} MB, divided by 1024³ and printed as MB. The least RSS of any run here is {least_mb} MB ({gib} GiB).",
        "Опубліковано: {published_mb} МБ (поділено на 1024³, надруковано MB). Найменший RSS тут – {least_mb} МБ ({gib} ГіБ)."),
    "evidence.warm_up": (
        "Published: the first image took {first_s} s, the other four {rest_s} s on average. The first image took {here_s} s here. The "
        "mean here is {mean_s} s.",
        "Опубліковано: перше зображення згенеровано за {first_s} с, інші чотири – у середньому за {rest_s} с. Тут перше зображення "
        "згенеровано за {here_s} с. Середнє тут – {mean_s} с."),
    "evidence.spread": (
        "The published iterations vary by {sd_percent} % and {vae_percent} %; Welch’s test of their means: p = {p}.",
        "Час опублікованих ітерацій коливається на {sd_percent} % і {vae_percent} %; критерій Велча для середніх: p = {p}."),
    "evidence.guidance": (
        "The prompt is empty. With guidance_scale 1 the picture differs by at most {levels} of 255 levels. With guidance_scale 1 it "
        "takes {without_s} s instead of {with_s} s.",
        "Запит порожній. Із guidance_scale 1 найбільша відмінність зображення (з 255 рівнів) – {levels}. Із guidance_scale 1 воно "
        "генерується за {without_s} с замість {with_s} с."),
    "evidence.unet_calls": ("Counted here: {calls} UNet calls an image.", "Пораховано тут: викликів UNet на зображення – {calls}."),
    "evidence.identical": ("One latent, no prompt. Different pictures among the iterations here: {different}.",
                           "Один латентний вектор, без запиту. Різних зображень серед ітерацій тут: {different}."),
    "not_measured_here": ("Not measured here.", "Тут не виміряно."),
    "not_measured_with_steps": ("Not measured here with {published} steps.", "Тут за {published} кроків не виміряно."),
    "pictures_title": ("Generated images of the iterations", "Згенеровані зображення в ході ітерацій"),
}


def say(key: str, language: str, **values) -> str:
    """The label `key` in a language, with its {places} filled. Raises ValueError for a language that is not known."""
    check(language)
    return WORDS[key][LANGUAGES.index(language)].format(**values).strip()


def check(language: str) -> None:
    """Raises ValueError unless the language is one of LANGUAGES."""
    if language not in LANGUAGES:
        raise ValueError(f"language is {language!r}: use one of {', '.join(LANGUAGES)}")


def number(value, digits: int, language: str) -> str:
    """A number with this many decimals, a comma for a point in Ukrainian; a dash for what is missing."""
    check(language)
    if value is None or value != value:  # NaN
        return MISSING
    return f"{value:.{digits}f}".replace(".", "." if language == "en" else ",")


def significant(value, digits: int, language: str) -> str:
    """A number with this many significant digits, never in powers of ten: times and ratios span from milliseconds to minutes."""
    if value == inf:  # dB between two pictures that are one and the same
        return "∞"
    if value is None or value != value or value == 0:
        return number(value, 0, language)
    return number(value, max(0, digits - 1 - floor(log10(abs(value)))), language)
