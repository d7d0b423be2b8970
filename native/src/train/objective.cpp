#include "objective.h"

#include "matrix.h"
#include "parallel.h"

#include <algorithm>
#include <cmath>

namespace ann {

namespace {

constexpr size_t N_BLOCK    = 48; // queries of a block
constexpr int    N_SLOT     = 16; // partial sums
constexpr size_t LOSS_EVERY = objective_sums::LOSS_EVERY;

// not a power of two: rows would fall onto the same cache lines
size_t row_stride(size_t n) { return (n + 15)/16*16 + 16; }

} // namespace

// search vectors of the window
struct layer_objective::vectors {
    size_t n_tokens = 0, n_queries = 0, d = 0;
    const std::vector<int32_t> * queries = nullptr;

    std::vector<float> h;        // [n_queries][n_embd]
    std::vector<float> u;        // [n_queries][d]
    std::vector<float> u_length; // [n_queries]
    std::vector<float> v;        // [n_tokens][d]
    std::vector<float> v_packed; // columns of v
    std::vector<float> v_inverse;// [n_tokens] 1/|v|
    std::vector<float> k_packed; // [n_head_kv] columns of the model's keys
};

// N_BLOCK queries and what is computed of them
struct layer_objective::block {
    size_t first = 0, n = 0; // of the queries
    size_t stride = 0;
    std::vector<float> q;       // [n][n_embd_head]
    std::vector<float> scores;  // [n][stride]; becomes the gradient by score
    std::vector<float> probs;   // [n][stride]
    std::vector<float> teacher; // [n][stride]
    std::vector<float> mass;    // [n] on A, mean over heads
    std::vector<float> unit, row, out;  // [stride]
    std::vector<std::pair<float, int32_t>> best;
    std::vector<float> u_back;  // [n] the part of the gradient that only lengthens u

    block(size_t n_tokens, size_t n_embd_head) : stride(row_stride(n_tokens)), q(N_BLOCK*n_embd_head), scores(N_BLOCK*stride),
        probs(N_BLOCK*stride), teacher(N_BLOCK*stride), mass(N_BLOCK), unit(stride), row(stride), out(stride), u_back(N_BLOCK) {}
};

layer_objective::layer_objective(const search_shape & shape, const objective_params & params, int32_t n_threads) :
    shape(shape), params(params), n_threads(n_threads) {}

void layer_objective::rotate(float * x, int32_t position, bool back) const {
    const size_t half = (size_t) shape.n_rot/2;
    const float * cs = cos_sin.data() + (size_t) position*half*2;
    for (size_t i = 0; i < half; ++i) {
        const float c = cs[2*i], s = back ? -cs[2*i + 1] : cs[2*i + 1];
        const float a = x[i], b = x[i + half];
        x[i]        = a*c - b*s;
        x[i + half] = b*c + a*s;
    }
}

void layer_objective::prepare(const captured_layer & x, const std::vector<int32_t> & queries, const projection_pair & w, vectors & v) {
    const size_t n_embd = (size_t) shape.n_embd, half = (size_t) shape.n_rot/2;
    v.n_tokens  = (size_t) x.n_tokens;
    v.n_queries = queries.size();
    v.d         = (size_t) shape.n_embd_search;
    v.queries   = &queries;

    for (size_t t = half > 0 ? cos_sin.size()/(half*2) : v.n_tokens; t < v.n_tokens; ++t) {
        for (size_t i = 0; i < half; ++i) {
            const double angle = (double) t*std::pow((double) shape.freq_base, -2.0*(double) i/shape.n_rot);
            cos_sin.push_back((float) std::cos(angle));
            cos_sin.push_back((float) std::sin(angle));
        }
    }

    v.h.resize(v.n_queries*n_embd);
    for (size_t i = 0; i < v.n_queries; ++i) {
        std::copy_n(x.h.data() + (size_t) queries[i]*n_embd, n_embd, v.h.data() + i*n_embd);
    }
    std::vector<float> wq(n_embd*(v.d + 15)/16*16), wk(wq.size());
    pack_columns(w.q.data(), v.d, n_embd, n_embd, wq.data());
    pack_columns(w.k.data(), v.d, n_embd, n_embd, wk.data());
    v.u.resize(v.n_queries*v.d);
    v.u_length.resize(v.n_queries);
    v.v.resize(v.n_tokens*v.d);
    v.v_inverse.resize(v.n_tokens);
    v.v_packed.resize((v.n_tokens + 15)/16*16*v.d);

    auto length = [&](const float * a) {
        double sum = 0.0;
        for (size_t i = 0; i < v.d; ++i) {
            sum += (double) a[i]*a[i];
        }
        return (float) std::max(std::sqrt(sum), 1e-6);
    };
    for_slots(N_SLOT, n_threads, [&](int slot) {
        const size_t q0 = v.n_queries*slot/N_SLOT, q1 = v.n_queries*(slot + 1)/N_SLOT;
        const size_t t0 = v.n_tokens*slot/N_SLOT, t1 = v.n_tokens*(slot + 1)/N_SLOT;
        multiply({ q1 - q0, v.d, n_embd, v.h.data() + q0*n_embd, n_embd, 1, wq.data(), 16, 16*n_embd, v.u.data() + q0*v.d, v.d, false });
        multiply({ t1 - t0, v.d, n_embd, x.h.data() + t0*n_embd, n_embd, 1, wk.data(), 16, 16*n_embd, v.v.data() + t0*v.d, v.d, false });
        for (size_t i = q0; i < q1; ++i) {
            rotate(v.u.data() + i*v.d, queries[i], false);
            v.u_length[i] = length(v.u.data() + i*v.d);
        }
        for (size_t t = t0; t < t1; ++t) {
            rotate(v.v.data() + t*v.d, (int32_t) t, false);
            v.v_inverse[t] = 1.0f/length(v.v.data() + t*v.d);
        }
    });
    pack_columns(v.v.data(), v.n_tokens, v.d, v.d, v.v_packed.data());

    const size_t n_packed = (v.n_tokens + 15)/16*16*(size_t) x.n_embd_head;
    v.k_packed.resize(n_packed*(size_t) x.n_head_kv);
    for_slots(x.n_head_kv, n_threads, [&](int h) {
        pack_columns(x.k.data() + (size_t) h*x.n_embd_head, v.n_tokens, (size_t) x.n_embd_head, (size_t) x.n_head_kv*x.n_embd_head,
            v.k_packed.data() + n_packed*h);
    });
}

// teacher (not yet restricted to A) and mass of the block's queries
void layer_objective::teach(const captured_layer & x, const vectors & v, block & b, bool mean) const {
    const size_t dk = (size_t) x.n_embd_head, n_packed = (v.n_tokens + 15)/16*16*dk;
    const size_t n_visible = (size_t) (*v.queries)[b.first + b.n - 1] + 1;
    std::fill(b.teacher.begin(), b.teacher.end(), 0.0f);
    std::fill(b.mass.begin(), b.mass.end(), 0.0f);
    for (int32_t h = 0; h < x.n_head; ++h) {
        for (size_t r = 0; r < b.n; ++r) {
            std::copy_n(x.q.data() + ((size_t) (*v.queries)[b.first + r]*x.n_head + h)*dk, dk, b.q.data() + r*dk);
        }
        multiply({ b.n, n_visible, dk, b.q.data(), dk, 1, v.k_packed.data() + n_packed*(size_t) (h/(x.n_head/x.n_head_kv)), 16, 16*dk,
            b.probs.data(), b.stride, false });
        for (size_t r = 0; r < b.n; ++r) {
            const int32_t position = (*v.queries)[b.first + r];
            const size_t start = (size_t) document_start(x, position), n = (size_t) position + 1 - start;
            float * p = b.probs.data() + r*b.stride + start;
            float * t = b.teacher.data() + r*b.stride + start;
            float scale = x.kq_scale;
            if (x.softcap > 0.0f) {
                for (size_t j = 0; j < n; ++j) {
                    p[j] = x.softcap*std::tanh(p[j]*scale/x.softcap);
                }
                scale = 1.0f;
            }
            const double sum  = exponentials(p, n, scale, largest(p, n)*scale);
            const float  part = (float) (1.0/sum), share = part/(float) x.n_head;
            for (size_t j = 0; j < n; ++j) {
                t[j] = mean ? t[j] + p[j]*share : std::max(t[j], p[j]*part);
            }
            double far = 0.0;
            for (int32_t j = shape.n_sink; j < first_near(position) - (int32_t) start; ++j) {
                far += p[(size_t) j];
            }
            b.mass[r] += (float) (far*share);
        }
    }
}

// From row `row` of the scores to the gradient by score, in place.
//
// With g the derivative by a softmax's argument: the score is u.v (kl), u.v/|v| (kl_unit) or u.v/(|u| |v|) (contrastive).
// A normalised vector passes on only what is orthogonal to it: u_back and key_back are the parts along u and v.
void layer_objective::objective_row(const captured_layer & x, const vectors & v, block & b, size_t row, size_t query, objective_sums & sums, float * key_back) const {
    const int32_t position = (*v.queries)[query];
    const int32_t begin = first_far(x, position), end = first_near(position);
    float * s = b.scores.data() + row*b.stride;
    float * t = b.teacher.data() + row*b.stride;
    b.u_back[row] = 0.0f;
    double total = 0.0;
    for (int32_t j = begin; j < end; ++j) {
        total += t[j];
    }
    const float w = params.by_mass ? b.mass[row] : 1.0f;
    if (end - begin < 2 || !(total > 0.0) || !(w > 0.0f)) {
        std::fill(s, s + b.stride, 0.0f);
        return;
    }
    const size_t n = (size_t) (end - begin);
    s += begin, t += begin, key_back += begin;
    const float * v_inverse = v.v_inverse.data() + begin;
    const bool measured = query % LOSS_EVERY == 0;
    const float u_inverse = 1.0f/v.u_length[query];
    float * z = b.unit.data(), * e = b.row.data(), * out = b.out.data();

    double entropy = 0.0;
    for (size_t j = 0; j < n; ++j) {
        t[j] = (float) (t[j]/total);
        z[j] = s[j]*v_inverse[j];
        out[j] = 0.0f;
        if (measured && t[j] > 0.0f) {
            entropy -= (double) t[j]*std::log((double) t[j]);
        }
    }
    sums.weight      += w;
    sums.loss_weight += measured ? w : 0.0f;

    // cross entropy of t and softmax(x*scale), whose exponentials are left in e
    auto softmax = [&](const float * from, float scale, double & loss) {
        std::copy_n(from, n, e);
        const float  top = largest(e, n)*scale;
        const double sum = exponentials(e, n, scale, top);
        if (measured) {
            double cross = 0.0;
            for (size_t j = 0; j < n; ++j) {
                cross -= (double) t[j]*from[j];
            }
            loss += w*(cross*scale + top + std::log(sum) - entropy);
        }
        return (float) (1.0/sum);
    };
    if (params.kl > 0.0f) {
        const float scale = 1.0f/std::sqrt((float) v.d);
        const float part  = softmax(s, scale, sums.kl);
        for (size_t j = 0; j < n; ++j) {
            out[j] += w*params.kl*scale*(e[j]*part - t[j]);
        }
    }
    if (params.kl_unit > 0.0f) {
        const float part = softmax(z, 1.0f, sums.kl_unit);
        for (size_t j = 0; j < n; ++j) {
            const float g = w*params.kl_unit*(e[j]*part - t[j]);
            out[j]      += g*v_inverse[j];
            key_back[j] += g*z[j]*v_inverse[j];
        }
    }
    if (params.contrastive > 0.0f) {
        b.best.clear();
        for (size_t j = 0; j < n; ++j) {
            if (t[j] > 0.0f) {
                b.best.emplace_back(t[j], -(int32_t) j);
            }
        }
        const size_t n_best = std::min<size_t>(b.best.size(), (size_t) params.n_positives);
        std::nth_element(b.best.begin(), b.best.begin() + (n_best - 1), b.best.end(), std::greater<>());
        const float scale = u_inverse/params.temperature;
        std::copy_n(z, n, e);
        const float  top  = largest(e, n)*scale;
        const double sum  = exponentials(e, n, scale, top);
        const float  part = (float) (1.0/sum);
        for (size_t i = 0; i < n_best; ++i) {
            const size_t j = (size_t) -b.best[i].second;
            sums.contrastive += measured ? w*(top + std::log(sum) - (double) z[j]*scale)/n_best : 0.0;
            e[j] -= (float) sum/n_best;
        }
        double along = 0.0;
        for (size_t j = 0; j < n; ++j) {
            const float g = w*params.contrastive/params.temperature*e[j]*part;
            const float c = z[j]*u_inverse;
            out[j]      += g*v_inverse[j]*u_inverse;
            key_back[j] += g*c*v_inverse[j];
            along       += (double) g*c;
        }
        b.u_back[row] = (float) along*u_inverse;
    }
    std::fill(s - begin, s, 0.0f);
    std::copy_n(out, n, s);
    std::fill(s + n, s - begin + b.stride, 0.0f);
}

void layer_objective::add(const captured_layer & x, const std::vector<int32_t> & queries, const projection_pair & w, objective_sums & sums) {
    vectors v;
    prepare(x, queries, w, v);
    const size_t d = v.d, n_embd = (size_t) shape.n_embd;
    const size_t n_blocks = (v.n_queries + N_BLOCK - 1)/N_BLOCK;

    struct partial {
        std::vector<float> dv, key_back;
        objective_sums     sums;
    };
    std::vector<partial> parts(N_SLOT);
    std::vector<float> du(v.n_queries*d);
    for_slots(N_SLOT, n_threads, [&](int slot) {
        partial & part = parts[(size_t) slot];
        part.dv.assign(v.n_tokens*d, 0.0f);
        part.key_back.assign(v.n_tokens, 0.0f);
        block b(v.n_tokens, (size_t) x.n_embd_head);
        for (size_t i = (size_t) slot; i < n_blocks; i += N_SLOT) {
            b.first = i*N_BLOCK;
            b.n     = std::min(N_BLOCK, v.n_queries - b.first);
            const int32_t end = first_near(queries[b.first + b.n - 1]);
            if (end <= shape.n_sink) {
                continue; // window and sinks are all these queries see
            }
            teach(x, v, b, params.teacher_mean);
            const float * u = v.u.data() + b.first*d;
            multiply({ b.n, (size_t) end, d, u, d, 1, v.v_packed.data(), 16, 16*d, b.scores.data(), b.stride, false });
            for (size_t r = 0; r < b.n; ++r) {
                objective_row(x, v, b, r, b.first + r, part.sums, part.key_back.data());
            }
            float * dub = du.data() + b.first*d;
            multiply({ b.n, d, (size_t) end, b.scores.data(), b.stride, 1, v.v.data(), d, 16, dub, d, false });
            multiply({ (size_t) end, d, b.n, b.scores.data(), 1, b.stride, u, d, 16, part.dv.data(), d, true });
            for (size_t r = 0; r < b.n; ++r) {
                const float along = b.u_back[r]/v.u_length[b.first + r];
                for (size_t k = 0; k < d; ++k) {
                    dub[r*d + k] -= along*u[r*d + k];
                }
                rotate(dub + r*d, queries[b.first + r], true);
            }
        }
    });

    std::vector<float> dv(v.n_tokens*d);
    for_slots(N_SLOT, n_threads, [&](int slot) {
        for (size_t t = v.n_tokens*slot/N_SLOT; t < v.n_tokens*(slot + 1)/N_SLOT; ++t) {
            float back = 0.0f;
            for (const partial & part : parts) {
                back += part.key_back[t];
                for (size_t k = 0; k < d; ++k) {
                    dv[t*d + k] += part.dv[t*d + k];
                }
            }
            for (size_t k = 0; k < d; ++k) {
                dv[t*d + k] -= back*v.v_inverse[t]*v.v[t*d + k];
            }
            rotate(dv.data() + t*d, (int32_t) t, true);
        }
    });
    for (const partial & part : parts) {
        sums.weight      += part.sums.weight;
        sums.loss_weight += part.sums.loss_weight;
        sums.kl          += part.sums.kl;
        sums.kl_unit     += part.sums.kl_unit;
        sums.contrastive += part.sums.contrastive;
    }
    sums.gradient.q.resize(d*n_embd);
    sums.gradient.k.resize(d*n_embd);
    for_slots(N_SLOT, n_threads, [&](int slot) {
        const size_t k0 = d*slot/N_SLOT, k1 = d*(slot + 1)/N_SLOT;
        multiply({ k1 - k0, n_embd, v.n_queries, du.data() + k0, 1, d, v.h.data(), n_embd, 16, sums.gradient.q.data() + k0*n_embd, n_embd, true });
        multiply({ k1 - k0, n_embd, v.n_tokens, dv.data() + k0, 1, d, x.h.data(), n_embd, 16, sums.gradient.k.data() + k0*n_embd, n_embd, true });
    });
}

double layer_objective::mass(const captured_layer & x, const std::vector<int32_t> & queries, const projection_pair & w, int32_t top_k) {
    vectors v;
    prepare(x, queries, w, v);
    const size_t n_blocks = (v.n_queries + N_BLOCK - 1)/N_BLOCK;
    const size_t n_search = (size_t) std::max(0, top_k - shape.n_window - shape.n_sink);
    std::vector<double> parts(N_SLOT, 0.0);
    for_slots(N_SLOT, n_threads, [&](int slot) {
        block b(v.n_tokens, (size_t) x.n_embd_head);
        for (size_t i = (size_t) slot; i < n_blocks; i += N_SLOT) {
            b.first = i*N_BLOCK;
            b.n     = std::min(N_BLOCK, v.n_queries - b.first);
            teach(x, v, b, true);
            const int32_t last = first_near(queries[b.first + b.n - 1]);
            if (last > shape.n_sink) {
                multiply({ b.n, (size_t) last, v.d, v.u.data() + b.first*v.d, v.d, 1, v.v_packed.data(), 16, 16*v.d, b.scores.data(), b.stride, false });
            }
            for (size_t r = 0; r < b.n; ++r) {
                const int32_t end = first_near(queries[b.first + r]);
                double kept = 1.0 - b.mass[r];
                b.best.clear();
                for (int32_t j = first_far(x, queries[b.first + r]); j < end; ++j) {
                    b.best.emplace_back(b.scores[r*b.stride + (size_t) j]*v.v_inverse[(size_t) j], -j);
                }
                const size_t n = std::min(n_search, b.best.size());
                std::nth_element(b.best.begin(), b.best.begin() + n, b.best.end(), std::greater<>());
                for (size_t k = 0; k < n; ++k) {
                    kept += b.teacher[r*b.stride + (size_t) -b.best[k].second];
                }
                parts[(size_t) slot] += kept;
            }
        }
    });
    double sum = 0.0;
    for (double part : parts) {
        sum += part;
    }
    return sum/(double) v.n_queries;
}

} // namespace ann
